# SPDX-License-Identifier: MIT
"""The load balancers of examples/, each file as it is but for addresses and paths: what people copy is what is run."""
import pathlib
import re
import shutil
import socket

EXAMPLES = pathlib.Path(__file__).resolve().parent.parent
ADDRESS_OF_THE_FILES = "10.0.0"
PLACE_OF_THE_AGENTS = "/srv/baton-demo"
STATS = """
frontend stats
    bind {front}:{port}
    stats enable
    stats uri /stats
"""


def haproxy_config(example, home, front, hosts, ports):
    """`ports`: the lab's, by the names front, stats and runtime."""
    text = _placed((EXAMPLES / "haproxy" / example).read_text(encoding="utf-8"), front, hosts, ports)
    text = text.replace("/run/haproxy/", f"{home}/").replace("/var/lib/haproxy/", f"{home}/")
    if "stats socket" not in text:
        text = replaced(text, "global\n", f"global\n    stats socket {home}/admin.sock mode 600 level admin\n")
    return text + STATS.format(front=front, port=ports["stats"])


def nginx_config(example, home, front, hosts, ports, user_line):
    """The file of members that upstream.conf includes is made too: `members.conf` in `home`."""
    text = _placed((EXAMPLES / "nginx" / example).read_text(encoding="utf-8"), front, hosts, ports)
    members = re.findall(r"# (server \S+; # \S+)", text)
    (home / "members.conf").write_text("".join(f"{line}\n" for line in _all_members(members, hosts)), encoding="utf-8")
    text = text.replace("/etc/nginx/shop-members.conf", str(home / "members.conf"))
    text = text.replace("/run/", f"{home}/").replace("/var/log/nginx/", f"{home}/")
    parts = ("client_body", "fastcgi", "proxy", "uwsgi", "scgi")
    temporary = "".join(f"    {part}_temp_path {home}/{part};\n" for part in parts)
    text = replaced(text, "http {\n", "http {\n" + temporary)
    return f"daemon off;\n{user_line}\n" + text


def _all_members(examples, hosts):
    """One line for each node, after the example's line for the first."""
    name, host = next(iter(hosts.items()))
    return [line.replace(host, other).replace(f"# {name}", f"# {node}")
            for line in examples for node, other in hosts.items()]


def traffic_config(example, directory, front, ports):
    """The `traffic:` section of examples/chain/traffic/NAME.yaml. Commands that the file runs on the load balancer over
    ssh are run here, with the lab's own files."""
    text = (EXAMPLES / "chain" / "traffic" / f"{example}.yaml").read_text(encoding="utf-8")
    text = text.replace(f"{ADDRESS_OF_THE_FILES}.10:9999", f"{front}:{ports['runtime']}")
    text = text.replace(PLACE_OF_THE_AGENTS, str(directory))
    home = pathlib.Path(directory) / "lab" / "balancer"
    return re.sub(r'ssh lb /usr/local/bin/nginx-member (\w+) "\$NODE_NAME"',
                  rf'{EXAMPLES}/nginx/nginx-member \1 "$NODE_NAME" --members {home}/members.conf --pid {home}/nginx.pid',
                  text)


def flag_location(directory, name):
    """node-flag.conf for one node."""
    text = (EXAMPLES / "nginx" / "node-flag.conf").read_text(encoding="utf-8")
    return replaced(text, f"{PLACE_OF_THE_AGENTS}/web1/", f"{directory}/{name}/")


def save_state(home):
    """What the files' comment says to do before a reload: HAProxy's view of its servers becomes server-state."""
    with socket.socket(socket.AF_UNIX) as runtime:
        runtime.settimeout(5)
        runtime.connect(str(home / "admin.sock"))
        runtime.sendall(b"show servers state\n")
        with open(home / "server-state", "wb") as file, runtime.makefile("rb") as answer:
            shutil.copyfileobj(answer, file)


def _placed(text, front, hosts, ports):
    text = text.replace(f"{ADDRESS_OF_THE_FILES}.10:80\n", f"{front}:{ports['front']}\n")
    text = text.replace(f"{ADDRESS_OF_THE_FILES}.10:80;", f"{front}:{ports['front']};")
    text = text.replace(f"{ADDRESS_OF_THE_FILES}.10:9999", f"{front}:{ports['runtime']}")
    for index, host in enumerate(hosts.values(), 11):
        text = text.replace(f"{ADDRESS_OF_THE_FILES}.{index}", host)
    if f"{ADDRESS_OF_THE_FILES}." in text:
        raise RuntimeError("an address of the example is left as it was: " + text)
    return text


def replaced(text, old, new):
    """The text with the first `old` made `new`; RuntimeError when there is none."""
    if old not in text:
        raise RuntimeError(f"the example does not hold {old!r}")
    return text.replace(old, new, 1)
