"""Publishes as Bitcoin Core does, by libzmq.

A line `topic hex` from whoever connects to the control port is a message of that topic, with the topic's next
number. Subscriptions are printed as they come and go; a subscriber that does not answer libzmq's own heartbeats
is dropped by it within two seconds.
"""

import socket
import struct
import sys

import zmq

publisher = zmq.Context().socket(zmq.XPUB)
publisher.setsockopt(zmq.XPUB_VERBOSER, 1)
publisher.setsockopt(zmq.HEARTBEAT_IVL, 300)
publisher.setsockopt(zmq.HEARTBEAT_TIMEOUT, 2000)
publisher.bind(sys.argv[1])
control = socket.create_server(("127.0.0.1", 0))
print("publishing at", publisher.getsockopt_string(zmq.LAST_ENDPOINT), flush=True)
print("control at %s:%d" % control.getsockname(), flush=True)

poller = zmq.Poller()
poller.register(publisher, zmq.POLLIN)
poller.register(control.fileno(), zmq.POLLIN)
numbers = {}
while True:
    for ready, _ in poller.poll():
        if ready is publisher:
            word = publisher.recv()
            print("subscribed" if word[0] else "unsubscribed", word[1:].decode(), flush=True)
            continue
        connection, _ = control.accept()
        with connection, connection.makefile("r") as lines:
            for line in lines:
                topic, body = line.split()
                number = numbers.get(topic, 0)
                numbers[topic] = number + 1
                publisher.send_multipart([topic.encode(), bytes.fromhex(body), struct.pack("<I", number)])
