# SPDX-License-Identifier: MIT
"""Things that go wrong in mid-rollout while users are at the shop. Each function makes one of them happen and leaves
the chain whole again; what users lost meanwhile is counted by who called it."""
import dataclasses
import time

from fleet import wait_until

from zero_downtime import methods, trial
from zero_downtime.users import Users
from zero_downtime.world import World, kill_all

STEP_SECONDS = 60


def agent_killed_while_drained(world):
    """The agent of web2 dies when the load balancer has let go of its node, before the app is touched."""
    _agent_killed_at(world, "drained")


def agent_killed_while_the_app_is_down(world):
    """The agent of web2 dies between the stop of the old release and the start of the new one."""
    _agent_killed_at(world, "down")


def _agent_killed_at(world, gate):
    commit = world.commit()
    gate = world.close_gate(gate, "web2")
    world.start_rollout(commit)
    wait_until(lambda: world.reached(gate), STEP_SECONDS, lambda: f"web2 stands at {gate.name}: {world.report()}")
    world.fleet["web2"].kill()
    world.open_gate(gate)
    # Long enough for a load balancer to do what it does about a silent agent.
    _watch_for(3, lambda: world.nodes_met(6) <= {"web1", "web3"}, "web2 is not sent requests")
    world.fleet["web2"].start()
    _expect_end(world, commit, "succeeded")


def app_that_never_comes_up(world):
    """The new release passes its tests and says on each node that it is not healthy."""
    before = world.versions()
    _expect_end(world, _started(world, "sick"), "halted")
    if world.versions() != before:
        raise RuntimeError(f"the release before is not back: {world.versions()}, expected {before}")
    wait_until(world.all_answer, STEP_SECONDS, lambda: f"web1 serves again; met were {world.nodes_met()}")


def balancer_reloaded(world):
    """HAProxy is reloaded while web2 is out and its app down, with its view of the servers saved before."""
    _reloaded(world, keep_state=True)


def balancer_reloaded_without_its_state(world):
    """The same as an operator who does not know of the state file does it: the new HAProxy takes every node for up
    until it has asked."""
    _reloaded(world, keep_state=False)


def _reloaded(world, keep_state):
    commit = world.commit()
    gate = world.close_gate("down", "web2")
    world.start_rollout(commit)
    wait_until(lambda: world.reached(gate), STEP_SECONDS, lambda: f"web2's app is down: {world.report()}")
    world.lab.reload_haproxy(keep_state)
    _watch_for(2, lambda: True, "")
    world.open_gate(gate)
    _expect_end(world, commit, "succeeded")


def balancer_restarted(world):
    """HAProxy is stopped and started, while web2 is out and its app down: users lose what arrives while it is away."""
    commit = world.commit()
    gate = world.close_gate("down", "web2")
    world.start_rollout(commit)
    wait_until(lambda: world.reached(gate), STEP_SECONDS, lambda: f"web2's app is down: {world.report()}")
    world.restart_balancer()
    _watch_for(2, lambda: True, "")
    world.open_gate(gate)
    _expect_end(world, commit, "succeeded")


def node_dies_in_mid_switch(world):
    """Every process of web2 dies while its app is down: agent, web server and all. Nobody else goes out of service
    until it is back; then the rollout goes on."""
    commit = world.commit()
    gate = world.close_gate("down", "web2")
    world.start_rollout(commit)
    wait_until(lambda: world.reached(gate), STEP_SECONDS, lambda: f"web2's app is down: {world.report()}")
    kill_all(world.pids_of("web2"))
    world.fleet["web2"].process.wait(timeout=10)
    world.open_gate(gate)
    old = world.versions()["web3"]
    _watch_for(4, lambda: world.versions()["web3"] == old, "web3 stays in service while web2 is lost")
    world.lab.stop_one("web2-nginx")
    world.lab.start_node("web2")
    world.fleet["web2"].start()
    _expect_end(world, commit, "succeeded")


FAULTS = {
    "agent-killed-drained": (agent_killed_while_drained, True),
    "agent-killed-down": (agent_killed_while_the_app_is_down, True),
    "app-never-up": (app_that_never_comes_up, True),
    "balancer-reloaded": (balancer_reloaded, True),
    "balancer-reloaded-no-state": (balancer_reloaded_without_its_state, False),
    "balancer-restarted": (balancer_restarted, False),
    "node-dies": (node_dies_in_mid_switch, True),
}


@dataclasses.dataclass
class Outcome:
    fault: str
    method: str
    promise: bool  # the load balancer could know, so nothing may be lost
    requests: int = 0
    failed: int = 0
    kinds: dict = dataclasses.field(default_factory=dict)
    lasted_s: float = 0.0  # from the first failure to the last
    twice: int = 0
    back: int = 0
    trouble: str = ""

    def kept_promise(self):
        if self.trouble or self.twice or self.back or not self.requests:
            return False
        return not (self.promise and self.failed)


def run(binary, name, method="haproxy_agent", rate=200):
    """One fault under load: Outcome."""
    act, promise = FAULTS[name]
    outcome = Outcome(name, method, promise)
    with World(binary, methods.BY_NAME[method], gates=True) as world:
        users = Users(world.lab.front_url, world.directory / "requests.jsonl", rate)
        with users:
            try:
                act(world)
                wait_until(world.all_answer, STEP_SECONDS, lambda: f"all are back; met were {world.nodes_met()}")
            except (RuntimeError, TimeoutError) as error:
                outcome.trouble = str(error)
            time.sleep(1)
        result = trial.Result(method, True, world.network.isolated)
        trial.account_for(result, users, world)
        outcome.requests, outcome.failed, outcome.kinds = result.requests, result.failed, result.kinds
        outcome.twice, outcome.back = result.twice, result.back
        times = [record["at"] for record in users.failures()]
        outcome.lasted_s = round(max(times) - min(times), 2) if times else 0.0
    return outcome


def _started(world, kind):
    commit = world.commit(kind)
    world.start_rollout(commit)
    return commit


def _expect_end(world, commit, state):
    rollout = world.wait_for_end(commit)
    if rollout["state"] != state:
        raise RuntimeError(f"the rollout is {rollout['state']}, expected {state}: {rollout['reason']}")


def _watch_for(seconds, holds, what):
    """Looks again and again for so long; RuntimeError when it does not hold."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not holds():
            raise RuntimeError(f"it does not hold that {what}")
        time.sleep(0.1)
