// A genuine happner-2 mesh node in a process of its own, with the gateway as an endpoint. Its arguments: port, domain, component, and as
// JSON what it logs in with. It calls what its parent tells it to, and tells its parent what it hears: messages {call, method, args}, {answer, result | error},
// {event}, and {ready} at first. Ends with its parent. (The node itself sends every message that it gets back to its parent.)

const { createRequire } = require('node:module');
const { join } = require('node:path');

const [port, domain, component, login] = [Number(process.argv[2]), process.argv[3], process.argv[4], JSON.parse(process.argv[5] ?? '{}')];
const Mesh = createRequire(join(__dirname, '..', 'clients', 'happner', 'package.json'))('happner-2');
process.on('disconnect', () => process.exit(0));

async function main() {
  const config = {
    name: 'caller',
    // A node takes its endpoints for secure when it is so itself.
    happn: { host: '127.0.0.1', port: 0, secure: login.username !== undefined, adminPassword: 'of nobody' },
    endpoints: { [domain]: { config: { host: '127.0.0.1', port, ...login } } },
  };
  const mesh = await Mesh.create(config);
  await mesh.event[domain][component].on('said', (event) => process.send({ event }));
  process.on('message', ({ call, method, args }) => {
    mesh.exchange[domain][component][method](...args).then(
      (result) => process.send({ answer: call, result }),
      ({ name, message, detail }) => process.send({ answer: call, error: { name, message, detail } }),
    );
  });
  process.send({ ready: true });
}

main().catch((error) => {
  process.stderr.write(`${error.stack ?? error}\n`);
  process.exit(1);
});
