# A Haven client on Debian's python3-msgpack, which shares no code with the gateway. Tells one story in the asked shape and framing and
# prints what it was answered, a line of JSON for each step; bytes as {"bytes": hex}.
# Usage: haven-client.py PORT map|array prefixed|bare PATH

import json
import socket
import struct
import sys

import msgpack

MAGIC = 0xDECAFBAD
VERBS = {"read": 1, "write": 3, "transaction": 4, "delete": 6, "watch": 7}
RW = 0x0C


class Client:
    def __init__(self, port, shape, framing):
        self.shape = shape
        self.framing = framing
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.unpacker = msgpack.Unpacker(raw=False)

    def ask(self, message, old_spec=False):
        body = msgpack.packb(message, use_bin_type=not old_spec)
        self.socket.sendall((struct.pack(">I", len(body)) if self.framing == "prefixed" else b"") + body)
        return self.prefixed() if self.framing == "prefixed" else self.bare()

    def prefixed(self):
        (length,) = struct.unpack(">I", self.exactly(4))
        return msgpack.unpackb(self.exactly(length), raw=False)

    def bare(self):
        while True:
            for answer in self.unpacker:
                return answer
            self.unpacker.feed(self.some(65536))

    def exactly(self, count):
        data = b""
        while len(data) < count:
            data += self.some(count - len(data))
        return data

    def some(self, most):
        data = self.socket.recv(most)
        if not data:
            raise EOFError("the gateway closed the connection")
        return data

    def connect(self):
        if self.shape == "map":
            return self.ask({"action": "connect", "version": "1"})["result"]
        return self.ask([1, MAGIC, 1])[0] == 1

    def data(self, kind, path, value=None, old_spec=False, **options):
        """The answer as a map, whatever the shape; of a read in arrays, only the value."""
        if self.shape == "map":
            message = {"action": "query", "type": kind, **options}
            if path is not None:
                message["path"] = path
            if kind == "write":
                message["value"] = value
            return self.ask(message, old_spec)
        status, code, body = self.ask([2, VERBS[kind], RW, None, path, value, options], old_spec)
        if status != 0x14:
            return {"result": False, "error": {"code": code, **body}}
        return {"result": True, "value": body} if kind == "read" and "*" not in path else {"result": True, **body}

    def beat(self):
        if self.shape == "map":
            return self.ask({"action": "heartbeat", "type": "ping"})["result"]
        return self.ask([7])[2]


def show(value):
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    return str(value)


def tell(step, value):
    print(json.dumps([step, value], default=show), flush=True)


def main(port, shape, framing, at):
    client = Client(int(port), shape, framing)
    tell("connect", client.connect())
    values = [None, True, -7, 2**53 - 1, 1.5, "t\u00e4xt", b"\x00\xff", [1, {"a": [b"x"]}], msgpack.Timestamp(1700000000, 0)]
    for value in values:
        client.data("write", at, value)
        tell("value", client.data("read", at)["value"])
    tell("too large", client.data("write", at, 2**53)["error"]["code"])
    client.data("write", at, b"old", old_spec=True)
    tell("old text", client.data("read", at)["value"])
    client.data("watch", at + "/*")
    revision = client.data("write", at + "/a", 1)["revision"]
    tell("conflict", client.data("write", at + "/a", 2, expect=revision + 1)["error"]["code"])
    ops = [{"type": "delete", "path": at + "/a", "expect": revision}, {"type": "create", "path": at + "/b", "value": b"moved"}]
    tell("transaction", [number - revision for number in client.data("transaction", None, ops=ops)["revisions"]])
    tell("again", [client.data("transaction", None, ops=ops)["error"][key] for key in ("code", "op")])
    tell("found", [item["value"] for item in client.data("read", at + "/*")["items"]])
    tell("events", [[event["type"], event["path"][len(at):]] for event in client.beat()])
    client.socket.close()


main(*sys.argv[1:])
