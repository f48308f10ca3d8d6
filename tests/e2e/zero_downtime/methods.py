# SPDX-License-Identifier: MIT
"""The ways of deploying that the lab knows: which load balancer, how a node leaves it, how its app is restarted."""
import dataclasses


@dataclasses.dataclass(frozen=True)
class Method:
    name: str
    balancer: str       # haproxy or nginx
    example: str        # its file in examples/haproxy or examples/nginx
    traffic: str = ""   # a file of examples/chain/traffic, without its ending
    loses: bool = False     # requests are lost: no promise is made
    isolated: bool = False  # needs machines with a network of their own
    pipeline: str = ""      # a file of the shop's deploy/ that says how releases are switched; "": baton.yaml as it is
    mixes: bool = False     # for a moment a node answers with both versions
    edits: tuple = ()       # of the example's text
    killed: bool = False    # the app is killed and stays away for seconds, instead of ending what it has
    # What the ledger has to be told of the load balancer: its checks end an exposure that nobody announced.
    assumed: str = ""
    retried: float = 0.0    # part of the failed requests that is sent to another node; a term of `assumed` too


CHECKS = "check_ms=500&check_fast_ms=250&fall=2"
RETRY_GET = ("    retry-on conn-failure\n",
             "    retry-on conn-failure 502 503\n    http-request disable-l7-retry unless METH_GET\n")

ALL = (
    Method("none", "haproxy", "check.cfg", "none", loses=True, assumed=CHECKS),
    # Outages with sharp borders, for holding the ledger's formula against a count.
    Method("killed", "haproxy", "check.cfg", "none", loses=True, killed=True, assumed=CHECKS),
    Method("killed_retried", "haproxy", "check.cfg", "none", loses=True, killed=True, edits=(RETRY_GET,),
           assumed=CHECKS, retried=0.9),
    Method("killed_leastconn", "haproxy", "check.cfg", "none", loses=True, killed=True,
           edits=(("balance roundrobin", "balance leastconn"),), assumed=CHECKS + "&dark_share=0.8"),
    Method("haproxy_agent", "haproxy", "agent-check.cfg", "haproxy_agent"),
    Method("readiness", "haproxy", "readiness.cfg", "readiness"),
    Method("readiness_404", "haproxy", "readiness-404.cfg", "readiness_404"),
    Method("both", "haproxy", "both.cfg", "both"),
    Method("haproxy_socket", "haproxy", "socket.cfg", "haproxy_socket"),
    Method("refuse", "haproxy", "refuse.cfg", "refuse", isolated=True),
    Method("refuse_nginx", "nginx", "load-balancer.conf", "refuse", isolated=True),
    Method("file", "haproxy", "file.cfg", "file"),
    Method("command_nginx", "nginx", "upstream.conf", "command"),
    # No load balancer has to know, and none is told. Their servers outlive agents: machines are needed to end them with.
    Method("overlap", "haproxy", "check.cfg", pipeline="baton-overlap.yaml", mixes=True, isolated=True),
    Method("blue_green", "haproxy", "check.cfg", pipeline="baton-blue-green.yaml", mixes=True, isolated=True),
    Method("none_nginx", "nginx", "load-balancer.conf", "none", loses=True),
)
BY_NAME = {method.name: method for method in ALL}
