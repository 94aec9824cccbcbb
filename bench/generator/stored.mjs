// Where the records lie that are stored before a load, and the patterns that find a hundred of them.

/** Records below one group, and records in all groups that have one name. */
export const MATCHING = 100;
const NAMES = 1000;

const groupOf = (number) => 1000 + Math.floor(number / MATCHING);
const nameOf = (number) => 1000 + (number % NAMES);

export const storedPath = (number) => `/bench/stored/${groupOf(number)}/${nameOf(number)}`;

/** All records of a group: they lie side by side. Repeats after `records` / MATCHING patterns. */
export const groupPattern = (index, records) => `/bench/stored/${groupOf((index * MATCHING) % records)}/*`;

/** All records of a name, one in every tenth group: they lie scattered. Needs 100,000 records. */
export const namePattern = (index) => `/bench/stored/*/${nameOf(index)}`;

/** Stores `records` records, at most 1,000 in flight. `counterOf(onOdd)` counts the answers, `frameOf(number)` asks for one. */
export function storeAll(connection, records, counterOf, frameOf) {
  return new Promise((resolve, reject) => {
    const counter = counterOf(reject);
    let sent = 0;
    let answered = 0;
    const send = (n) => {
      const frames = [];
      for (; n > 0 && sent < records; n -= 1, sent += 1) frames.push(frameOf(sent));
      if (frames.length > 0) connection.write(Buffer.concat(frames));
    };
    connection.onFault = reject;
    connection.handle((buffer, size) => {
      const n = counter.push(buffer, size);
      answered += n;
      if (answered === records) resolve();
      else send(n);
    });
    send(1000);
  });
}
