"""The machine's resolver, which is alone in the world: no name exists (RFC 1035 §4.1.1)."""
import socket

server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
while True:
    query, client = server.recvfrom(4096)
    end = 12
    while query[end]:
        end += query[end] + 1
    # A response, recursion available, NXDOMAIN; the question, and nothing else.
    server.sendto(query[:2] + b"\x81\x83\x00\x01" + bytes(6) + query[12 : end + 5], client)
