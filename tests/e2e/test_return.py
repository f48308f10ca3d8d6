# SPDX-License-Identifier: MIT
"""A node that was away, lost its disk or was booted has the fleet's release before it serves."""
import contextlib
import shutil
import sqlite3
import time
import unittest

from harness import end_app
from safety import SafetyCase, wait_until


class ReturnTest(SafetyCase):
    def miss_three(self, chain):
        """Three rollouts without web3; the last commit."""
        chain["web3"].kill()
        for number in range(3):
            commit = chain.commit(f"Missed, number {number}")
            self.trigger(chain)
            wait_until(lambda: [chain.running_commit(name) for name in ("web1", "web2")] == [commit] * 2, 60,
                       f"rollout {number} passes web3 over")
        return commit

    def test_a_node_returns_after_three_missed_rollouts(self):
        chain = self.safe_chain(handoff_timeout="1s")
        with self.one_at_a_time(chain):
            commit = self.miss_three(chain)
            self.assertEqual(chain.running_commit("web3"), chain.first)
            began = time.time()
            chain["web3"].start()
            self.settled(chain, commit)
            print(f"three rollouts missed: caught up in {time.time() - began:.1f} s")
            started = [event["commit"] for event in chain.events("web3", began) if event["event"] == "up"]
            self.assertEqual(started, [commit], "straight to the newest, not through those it missed")
            self.assertEqual(chain.events("web1", began) + chain.events("web2", began), [])

    def test_a_lost_database_and_no_git_host(self):
        chain = self.safe_chain(handoff_timeout="1s")
        commit = self.miss_three(chain)
        # As after the loss of the disk: neither state nor releases, the app not running, and the git host is away.
        end_app(chain.directory / "web3" / "mini" / "run" / "pid")
        shutil.rmtree(chain.directory / "web3" / "state")
        shutil.rmtree(chain.directory / "web3" / "mini")
        away = chain.repository.bare.rename(chain.repository.bare.with_suffix(".away"))
        self.addCleanup(lambda: away.exists() and away.rename(chain.repository.bare))
        with self.one_at_a_time(chain):
            chain["web3"].start()
            wait_until(lambda: "baton accept web3" in chain["web3"].app("mini")["waits_for"], 60,
                       lambda: f"web3 says what is missing: {chain['web3'].app('mini')}")
            self.assertEqual(self.service(chain, "web3"), 503, "it does not serve before it has the fleet's release")
            chain.fleet.command("accept", "web3", agent=chain["web1"])
            began = time.time()

            def back():
                # In this order: what comes up between the two questions is no release that it served before.
                service = self.service(chain, "web3")
                if chain.running_commit("web3") == commit:
                    return True
                self.assertIn(service, (503, None), "it serves with the fleet's release only")
                return False
            wait_until(back, 60, lambda: f"web3 runs {commit}: {chain['web3'].app('mini')}")
            self.settled(chain, commit)
            print(f"lost database, no git host: whole {time.time() - began:.1f} s after `baton accept`")

    def test_a_booted_machine_serves_only_when_it_has_caught_up_without_the_git_host(self):
        chain = self.safe_chain(handoff_timeout="1s")
        commit = self.miss_three(chain)
        # As after a boot: the kernel's boot id is another one, and no app runs.
        end_app(chain.directory / "web3" / "mini" / "run" / "pid")
        with contextlib.closing(sqlite3.connect(chain.directory / "web3" / "state" / "baton.db")) as database, database:
            database.execute("UPDATE meta SET value = 'an earlier boot' WHERE key = 'boot_id'")
        away = chain.repository.bare.rename(chain.repository.bare.with_suffix(".away"))
        self.addCleanup(lambda: away.exists() and away.rename(chain.repository.bare))
        began = time.time()
        chain["web3"].start()

        def caught_up():
            service = self.service(chain, "web3")
            if chain.running_commit("web3") == commit:
                return True
            self.assertNotEqual(service, 200, "an old release is served after the boot")
            return False
        wait_until(caught_up, 60, lambda: f"web3 runs {commit}: {chain['web3'].app('mini')}", every=0.02)
        self.settled(chain, commit)
        print(f"booted after three missed rollouts: caught up in {time.time() - began:.1f} s")


if __name__ == "__main__":
    unittest.main()
