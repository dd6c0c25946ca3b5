"""A TCP proxy that breaks connections on purpose, between the workers and Kafka or PostgreSQL.

A Kafka client learns the brokers' addresses from answers and connects to those. So the proxy replaces the real address
by its own in what the broker sends; both are an IPv4 address and a port, in every version of the protocol as a string
followed by four bytes, and the length stays the same.
"""

import socket
import struct
import threading

CHUNK = 65536
LOOPBACK = "127.0.0.1"


def address_bytes(port):
    return LOOPBACK.encode() + struct.pack(">i", port)


class Rewriter:
    """Replaces addresses by others in Kafka's answers: messages of a length and as many bytes."""

    def __init__(self, ports):
        self.pairs = [(address_bytes(old), address_bytes(new)) for old, new in ports.items()]
        self.held = b""

    def feed(self, data):
        self.held += data
        whole = 0
        while len(self.held) >= whole + 4:
            end = whole + 4 + struct.unpack_from(">i", self.held, whole)[0]
            if end > len(self.held):
                break
            whole = end
        answers, self.held = self.held[:whole], self.held[whole:]
        for old, new in self.pairs:
            answers = answers.replace(old, new)
        return answers


class Proxy:
    """Listens on `.port` of 127.0.0.1 and forwards to `target`, a port there that may change for new connections.

    While a fault is switched on it holds for present and new connections; `heal()` switches all of them off.
    """

    def __init__(self, target):
        self.target = target
        self.rewrites = {}  # real port: port of its proxy
        self.lock = threading.Lock()
        self.pairs = set()
        self.flowing = threading.Event()
        self.flowing.set()
        self.delay_seconds = 0
        self.refuses = False
        self.deaf = set()  # connections whose answers are lost
        self.swallowed = 0  # bytes since lose_answers()
        self.trap = None
        self.trapped = 0  # connections that cut_before() cut
        self.ending = threading.Event()
        self.cuts = 0
        self.listener = socket.create_server((LOOPBACK, 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    # --- faults ------------------------------------------------------------------------------------------------------

    def cut(self):
        """Resets every connection, in the middle of whatever it carries. Returns how many there were."""
        with self.lock:
            pairs = list(self.pairs)
        for pair in pairs:
            self.close(pair)
        self.cuts += len(pairs)
        return len(pairs)

    def refuse(self):
        """Takes no connections and resets the present ones."""
        self.refuses = True
        return self.cut()

    def stop(self):
        """Connections stay open, but nothing passes: a network that swallows packets."""
        self.flowing.clear()

    def delay(self, seconds):
        """Every piece waits so long, in both directions."""
        self.delay_seconds = seconds

    def lose_answers(self):
        """On the present connections requests pass and answers do not: what was asked for happens, and nobody learns it.

        cut() then ends the wait. New connections are well.
        """
        with self.lock:
            self.deaf = set(self.pairs)
        self.swallowed = 0

    def cut_before(self, request):
        """Each connection is reset where it asks for this, and the request with these bytes is not passed on."""
        self.trap = request

    def heal(self):
        self.trap = None
        self.delay_seconds = 0
        self.refuses = False
        self.deaf = set()
        self.flowing.set()

    def end(self):
        self.ending.set()
        self.listener.close()
        self.heal()
        self.cut()

    # --- forwarding --------------------------------------------------------------------------------------------------

    def accept(self):
        while not self.ending.is_set():
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                if self.refuses:
                    raise OSError
                server = socket.create_connection((LOOPBACK, self.target), timeout=5)
                server.settimeout(None)
            except OSError:
                self.reset(client)
                continue
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pair = (client, server)
            with self.lock:
                self.pairs.add(pair)
            rewriter = Rewriter(self.rewrites) if self.rewrites else None
            threading.Thread(target=self.pump, args=(pair, client, server, None, False), daemon=True).start()
            threading.Thread(target=self.pump, args=(pair, server, client, rewriter, True), daemon=True).start()

    def pump(self, pair, source, sink, rewriter, is_answer):
        try:
            while True:
                data = source.recv(CHUNK)
                if not data:
                    break
                if self.delay_seconds:
                    self.ending.wait(self.delay_seconds)
                while not self.flowing.wait(0.2):
                    # A pair that was cut meanwhile must not wait for the flow.
                    if pair not in self.pairs:
                        return
                if is_answer and pair in self.deaf:
                    self.swallowed += len(data)
                    continue
                trap = self.trap
                if not is_answer and trap and trap in data:
                    self.trapped += 1
                    break
                sink.sendall(rewriter.feed(data) if rewriter else data)
        except OSError:
            pass
        finally:
            self.close(pair)

    def close(self, pair):
        with self.lock:
            if pair not in self.pairs:
                return
            self.pairs.discard(pair)
        for end in pair:
            self.reset(end)

    @staticmethod
    def reset(end):
        """Ends a connection with a reset, as a crash or a firewall does, and wakes the thread that reads from it."""
        try:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.shutdown(socket.SHUT_RD)
        except OSError:
            pass
        end.close()


class KafkaProxy:
    """A proxy for each broker of a cluster, all of which know all; faults hold for all of them."""

    def __init__(self, targets):
        self.proxies = [Proxy(target) for target in targets]
        for proxy in self.proxies:
            proxy.rewrites = {each.target: each.port for each in self.proxies}
        self.brokers = ",".join(f"{LOOPBACK}:{proxy.port}" for proxy in self.proxies)

    def cut(self):
        return sum(proxy.cut() for proxy in self.proxies)

    def refuse(self):
        return sum(proxy.refuse() for proxy in self.proxies)

    def stop(self):
        for proxy in self.proxies:
            proxy.stop()

    def delay(self, seconds):
        for proxy in self.proxies:
            proxy.delay(seconds)

    def heal(self):
        for proxy in self.proxies:
            proxy.heal()

    def end(self):
        for proxy in self.proxies:
            proxy.end()
