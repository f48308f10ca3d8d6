# SPDX-License-Identifier: MIT
"""A disk that is full says so, nothing that was accepted is lost, and all goes on when there is room again."""
import pathlib
import subprocess
import time
import unittest

from safety import SafetyCase, wait_until

MEBIBYTES = 24


class Disk:
    """A small file system of its own at `directory`, which fill() leaves without a byte."""

    def __init__(self, case, directory):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={MEBIBYTES}m", "none", str(self.directory)],
                              capture_output=True, text=True, timeout=20, check=False)
        self.mounted = done.returncode == 0
        self.filler = self.directory / "filler"
        if self.mounted:
            case.addCleanup(self._unmount)

    def _unmount(self):
        subprocess.run(["umount", "--lazy", str(self.directory)], capture_output=True, timeout=20, check=False)

    def fill(self):
        """Until not even one byte more can be written."""
        with open(self.filler, "ab", buffering=0) as file:
            for size in (1 << 20, 4096, 512, 1):
                try:
                    while True:
                        file.write(b"\0" * size)
                except OSError:
                    continue

    def free(self):
        self.filler.unlink()


class FullDiskTest(SafetyCase):
    def chain_with_disk(self, part):
        """A chain of which web2 has `part` (state or mini) on a small disk of its own; (chain, fill, free)."""
        disks = []

        def mount(chain):
            disks.append(Disk(self, chain.directory / "web2" / part))
        chain = self.safe_chain(handoff_timeout="2s", before_start=mount)
        disk = disks[0]
        if disk.mounted:
            return chain, disk.fill, disk.free
        # Where nothing may be mounted: no file of that agent and its steps may grow, which is as full as a disk can be.
        def limit(bytes_):
            pid = chain["web2"].process.pid
            subprocess.run(["prlimit", f"--pid={pid}", f"--fsize={bytes_}:unlimited"], check=True, timeout=20)
        return chain, lambda: limit(0), lambda: limit("unlimited")

    def test_a_full_state_directory_stops_nobody_else_and_loses_nothing(self):
        chain, fill, free = self.chain_with_disk("state")
        with self.one_at_a_time(chain):
            fill()
            began = time.time()
            commit = chain.commit("While web2 cannot store anything")
            self.trigger(chain)
            wait_until(lambda: [chain.running_commit(name) for name in ("web1", "web3")] == [commit] * 2, 60,
                       lambda: f"the others go on, web2 is passed over: {chain['web1'].app('mini')}")
            wait_until(lambda: "disk is full" in chain["web2"].log_tail(200), 30,
                       lambda: "web2 says why: " + chain["web2"].log_tail())
            self.assertEqual(chain.events("web2", began), [], "what cannot be stored is not begun")
            self.refused(chain)
            free()
            freed = time.time()
            self.settled(chain, commit)
            print(f"full state directory: whole {time.time() - freed:.1f} s after there was room")
        commit = chain.commit("Works again")
        self.trigger(chain, "web2")
        self.settled(chain, commit)

    def refused(self, chain):
        """A trigger that cannot be stored is not answered as if it were."""
        with self.assertRaisesRegex(Exception, "50[0-9]|507") as caught:
            self.trigger(chain, "web2")
        self.assertIn("disk is full", str(caught.exception))

    def test_a_disk_that_fills_in_the_middle_of_a_switch(self):
        chain, fill, free = self.chain_with_disk("state")
        with self.one_at_a_time(chain):
            gate = chain.close_gate("switch", "web2")
            commit = chain.commit("The disk fills while web2 is out")
            self.trigger(chain)
            wait_until(lambda: chain.reached(gate), 30, "web2 is in its switch")
            fill()
            began = time.time()
            chain.open_gate(gate)
            wait_until(lambda: chain.running_commit("web2") == commit, 30, "the switch goes on")
            wait_until(lambda: "disk is full" in chain["web2"].log_tail(200), 30,
                       lambda: "web2 says why it does not go on: " + chain["web2"].log_tail())
            self.assertEqual(chain.events("web3", began), [], "it cannot store that it is back, so nobody is told")
            free()
            self.settled(chain, commit)
            self.assertEqual([event["event"] for event in chain.events("web2", began)].count("up"), 1)
            self.assertEqual(self.migrated(chain, commit), 1)

    def test_a_full_disk_below_deploy_to_touches_nothing_that_runs(self):
        chain, fill, free = self.chain_with_disk("mini")
        with self.one_at_a_time(chain):
            fill()
            began = time.time()
            commit = chain.commit("No room for a release")
            self.trigger(chain)
            rollout = chain.wait_for(commit, "halted", seen_by="web3")
            self.assertIn("web2", rollout["reason"])
            self.assertIn("No space left", rollout["reason"])
            self.assertEqual(chain.running_commit("web2"), chain.first)
            self.assertEqual(chain.events("web3", began), [])
            free()
            chain.fleet.command("resume", "mini", agent=chain["web2"])
            self.settled(chain, commit)
            self.assertEqual(self.migrated(chain, commit), 1)

    def test_a_node_stuck_by_a_full_disk_comes_back_by_itself_when_there_is_room(self):
        chain, fill, free = self.chain_with_disk("mini")
        with self.one_at_a_time(chain):
            gate = chain.close_gate("switch", "web2")
            commit = chain.commit("Never healthy, and the disk is full", healthy=False)
            self.trigger(chain, "web2")
            wait_until(lambda: chain.reached(gate), 30, "web2 is in its switch")
            fill()
            chain.open_gate(gate)
            wait_until(lambda: "once more in" in chain["web2"].app("mini")["waits_for"], 60,
                       lambda: f"web2 is stuck, and says when it tries again: {chain['web2'].app('mini')}")
            self.assertEqual(chain["web2"].app("mini")["phase"], "out")
            self.assertEqual(self.service(chain, "web2"), 503)
            # It has told everybody, and the others have not gone after it.
            chain.wait_for(commit, "halted", seen_by="web3")
            free()
            freed = time.time()
            wait_until(lambda: chain.running_commit("web2") == chain.first
                       and chain["web2"].app("mini")["phase"] == "idle" and self.service(chain, "web2") == 200, 90,
                       lambda: f"web2 is back with what it had: {chain['web2'].app('mini')}")
            print(f"stuck by a full disk: back {time.time() - freed:.1f} s after there was room")
        commit = chain.commit("Works again")
        self.trigger(chain, "web2")
        self.settled(chain, commit)

    def test_a_disk_below_deploy_to_that_fills_while_the_new_release_comes_up(self):
        chain, fill, free = self.chain_with_disk("mini")
        with self.one_at_a_time(chain):
            began = time.time()
            commit = chain.commit("The disk fills while it comes up", ready_after_ms=2000)
            self.trigger(chain)
            wait_until(lambda: chain.node_row("web2", "web2")["stage"] == "verify"
                       and any(event["event"] == "up" for event in chain.events("web2", began)), 30, "web2 verifies")
            fill()
            # What is healthy stays: that it was proved is stored out of what was laid by.
            self.settled(chain, commit)
            free()
            self.assertEqual([event["event"] for event in chain.events("web2", began)].count("up"), 1)
            self.assertEqual(self.migrated(chain, commit), 1)
        commit = chain.commit("Works again")
        self.trigger(chain, "web2")
        self.settled(chain, commit)


if __name__ == "__main__":
    unittest.main()
