# SPDX-License-Identifier: MIT
"""The ways of deploying that the lab knows: which load balancer, how a node leaves it, how it restarts."""
import dataclasses


@dataclasses.dataclass(frozen=True)
class Method:
    name: str
    balancer: str       # haproxy or nginx
    example: str        # its file in examples/haproxy or examples/nginx
    traffic: str = ""   # a file of examples/chain/traffic, without its ending
    strategy: str = "stop_start"
    loses: bool = False     # requests are lost: no promise is made
    isolated: bool = False  # needs machines with a network of their own
    # The load balancer's own checks as the ledger wants them told: what ends an exposure that nobody announced.
    checks: str = ""


ALL = (
    Method("none", "haproxy", "check.cfg", loses=True, checks="check_ms=500&check_fast_ms=250&fall=2"),
    Method("haproxy_agent", "haproxy", "agent-check.cfg", "haproxy_agent"),
    Method("readiness", "haproxy", "readiness.cfg", "readiness"),
    Method("readiness_404", "haproxy", "readiness-404.cfg", "readiness_404"),
    Method("both", "haproxy", "both.cfg", "both"),
    Method("haproxy_socket", "haproxy", "socket.cfg", "haproxy_socket"),
    Method("refuse", "haproxy", "refuse.cfg", "refuse", isolated=True),
    Method("refuse_nginx", "nginx", "load-balancer.conf", "refuse", isolated=True),
    Method("file", "haproxy", "file.cfg", "file"),
    Method("command_nginx", "nginx", "upstream.conf", "command"),
    Method("none_nginx", "nginx", "load-balancer.conf", loses=True),
)
BY_NAME = {method.name: method for method in ALL}
