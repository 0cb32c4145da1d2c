"""Runs Autobahn's cases for WebSocket and prints how each ended, one JSON object a line.

    fuzz.py FOLDER client URL CASE...      against a server that echoes
    fuzz.py FOLDER server PORT             for clients that echo and ask for /CASE; says {"port": ...} when it listens

FOLDER holds the sources of the package autobahntestsuite. What its driver (wstest, for Python 2) does around a case is done here, without reports."""

import json
import sys

from twisted.internet import epollreactor

epollreactor.install()

from autobahn.twisted.websocket import (
    WebSocketClientFactory,
    WebSocketClientProtocol,
    WebSocketServerFactory,
    WebSocketServerProtocol,
)
from autobahn.websocket.protocol import WebSocketProtocol
from twisted.internet import reactor

import cases

# Cases give up after a second or so: a busy machine may take longer, and an answer is waited for no longer than it takes.
PATIENCE = 15
TOGETHER = 8
OPTIONS = {"openHandshakeTimeout": 120, "closeHandshakeTimeout": 30, "failByDrop": False}


def say(said):
    print(json.dumps(said), flush=True)


class Fuzzing:
    """What a case calls and is called by."""

    run = None
    connectionWasOpen = False
    createWirelog = True
    fault = None

    def begin(self, case):
        self.txFrameStats = {}
        self.run = case(self)
        # Those with test data from files know octets from text.
        self.plain = (lambda data: data) if hasattr(case, "TESTDATA") else cases.text
        self.number = case.__name__[4:].replace("_", ".")

    def attempt(self, what, *args):
        try:
            what(*args)
        except Exception as error:
            self.fault = self.fault or repr(error)
            self.transport.abortConnection()

    def onOpen(self):
        self.connectionWasOpen = True
        self.attempt(self.run.onOpen)

    def onMessage(self, payload, isBinary):
        self.attempt(self.run.onMessage, self.plain(payload), isBinary)

    def onPong(self, payload):
        self.attempt(self.run.onPong, self.plain(payload))

    def ended(self):
        if self.run is None:
            return
        self.attempt(self.run.onConnectionLost, self.failedByMe)
        outcome = {"behavior": self.run.behavior, "close": self.run.behaviorClose, "result": self.run.result}
        say({"case": self.number, **outcome, "fault": self.fault, "code": self.remoteCloseCode})

    def later(self, seconds, what):
        reactor.callLater(seconds, lambda: self.state == WebSocketProtocol.STATE_CLOSED or self.attempt(what))

    def continueLater(self, delay, fun, tag=None):
        self.later(delay, fun)

    def killAfter(self, delay):
        self.later(delay * PATIENCE, self._fail_connection)

    def closeAfter(self, delay):
        self.later(delay * PATIENCE, self.sendClose)

    def enableWirelog(self, enable):
        self.createWirelog = enable

    def logTxFrame(self, frameHeader, payload, repeatLength, chopsize, sync):
        self.txFrameStats[frameHeader.opcode] = self.txFrameStats.get(frameHeader.opcode, 0) + 1

    def logRxFrame(self, frameHeader, payload):
        pass

    def sendFrame(self, opcode, payload=b"", **rest):
        super().sendFrame(opcode, cases.octets(payload), **rest)

    def sendMessage(self, payload, isBinary=False, **rest):
        super().sendMessage(cases.octets(payload), isBinary, **rest)

    def sendMessageFrameData(self, payload, sync=False):
        return super().sendMessageFrameData(cases.octets(payload), sync)

    def sendCloseFrame(self, code=None, reasonUtf8=None, isReply=False):
        super().sendCloseFrame(code, cases.octets(reasonUtf8), isReply)


class FuzzingClient(Fuzzing, WebSocketClientProtocol):
    def connectionMade(self):
        self.begin(self.factory.case)
        super().connectionMade()

    def connectionLost(self, reason):
        super().connectionLost(reason)
        self.ended()
        self.factory.done()


class FuzzingServer(Fuzzing, WebSocketServerProtocol):
    def onConnect(self, request):
        self.begin(self.factory.known[request.path[1:]])

    def connectionLost(self, reason):
        super().connectionLost(reason)
        self.ended()


def client(known, url, wanted):
    waiting = list(wanted)
    left = len(waiting)

    def over():
        nonlocal left
        left -= 1
        if left == 0:
            reactor.stop()
        begin()

    def begin():
        if not waiting:
            return
        factory = WebSocketClientFactory(url)
        factory.protocol = FuzzingClient
        factory.logFrames = True
        factory.case = known[waiting.pop(0)]
        factory.done = over
        factory.setProtocolOptions(serverConnectionDropTimeout=30, **OPTIONS)
        factory.clientConnectionFailed = lambda _, reason: (say({"failed": str(reason.value)}), over())
        reactor.connectTCP(factory.host, factory.port, factory, timeout=120)

    for _ in range(min(TOGETHER, left)):
        begin()


def server(known, port):
    factory = WebSocketServerFactory()
    factory.protocol = FuzzingServer
    factory.logFrames = True
    factory.known = known
    factory.setProtocolOptions(**OPTIONS)
    listening = reactor.listenTCP(int(port), factory, interface="127.0.0.1")
    say({"port": listening.getHost().port, "cases": list(known)})


def main(folder, mode, *args):
    known = cases.load(folder)
    if mode == "server":
        server(known, args[0])
    else:
        say({"cases": list(known)})
        client(known, args[0], args[1:])
    if mode == "server" or len(args) > 1:
        reactor.run()


main(*sys.argv[1:])
