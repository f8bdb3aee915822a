"""Ways to break a cluster on purpose: the proof that its schedules can fail.

python -m tests.cluster.mutations           # makes each one in a copy of the code and runs the simulation there
python -m tests.cluster.mutations no-lease  # the one of that name

Where the simulation has a model of what nodes and the database do, it is the model that is broken.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Final

from tests.support import mutations
from tests.support.mutations import PYTEST, mutant, run_in

SCHEDULES: Final = 1000
"""Of one mode and kind, of which one has to show a mutation."""


@dataclass(frozen=True)
class Mutation(mutations.Mutation):
    """One change of one file that breaks one guarantee of a cluster."""

    mode: str = "through"
    kind: str = "trouble"
    """Of the schedules that show it."""
    test: str = ""
    """A test that shows it in the place of schedules, which meet it too rarely: what pytest calls it."""


MUTATIONS: Final = (
    Mutation(
        "no-lease",
        "a node serves only while somebody has confirmed it within the lease",
        "ckv/cluster/member.py",
        "        return self.joined and not self.conflict and (not self._lease or now < self._leased_until)",
        "        return self.joined and not self.conflict",
    ),
    Mutation(
        "lease-from-the-answer",
        "the lease counts from when the question was sent",
        "ckv/cluster/member.py",
        "                    self.confirmed(asked_at)",
        "                    self.confirmed(now)",
    ),
    Mutation(
        "thaws",
        "a node that has frozen slots never goes on serving them by itself",
        "ckv/cluster/member.py",
        "        self._told.clear()\n",
        "        self._told.clear()\n        self._move = None\n        self._renew(self._owned)\n",
        mode="copy",
    ),
    Mutation(
        "frozen-served",
        "what is frozen is not served",
        "ckv/cluster/member.py",
        "slot not in self._forgetting and slot not in frozen",
        "slot not in self._forgetting",
        kind="moves",
    ),
    Mutation(
        "not-looked-at",
        "whatever a connection has declared, its requests are looked at while slots are frozen",
        "ckv/cluster/member.py",
        "            self.plain_from = (self.map.version[0], self.map.version[1] + 1)",
        "            self.plain_from = self._lost_at",
        kind="moves",
    ),
    Mutation(
        "released-early",
        "slots are released when the database has all of them",
        "tests/cluster/records.py",
        "            left += len(keys.intersection(self._batch.rows))",
        "            pass",
        mode="behind",
        kind="moves",
    ),
    Mutation(
        "released-while-loading",
        "slots are released when whoever waits for a record of theirs has it",
        "tests/cluster/records.py",
        "        return not left and keys.isdisjoint(self._loads) and not self._old_loads",
        "        return not left",
        kind="moves",
    ),
    Mutation(
        "load-survives",
        "what is being loaded is no copy any more once its record is written",
        "tests/cluster/records.py",
        "            load.current = False\n            self._old_loads.append(load)\n        if self._mode",
        "            self._old_loads.append(load)\n        if self._mode",
        mode="evict",
        kind="moves",
    ),
    Mutation(
        "copies-kept",
        "a slot that comes is served from no copies of another time",
        "ckv/cluster/member.py",
        "stale, received = lost | gained | self._released, frozenset[int]()",
        "stale, received = self._released, frozenset[int]()",
        kind="moves",
    ),
    Mutation(
        "released-copies-kept",
        "what a node has released it forgets when the next map comes, whatever that says",
        "ckv/cluster/member.py",
        "stale, received = lost | gained | self._released, frozenset[int]()",
        "stale, received = lost | gained, frozenset[int]()",
        test="tests/cluster/test_member.py::test_a_move_ends_with_the_next_map_and_what_was_released_is_forgotten_whatever_that_says",
    ),
    Mutation(
        "uncertain-confirms",
        "a leader confirms nobody when somebody else may lead",
        "ckv/cluster/leader.py",
        "        return self.leads and now < self.certain_until and self.watch.may_confirm(known.key, known.tier)",
        "        return self.leads and self.watch.may_confirm(known.key, known.tier)",
        test="tests/cluster/test_leader.py::test_who_is_not_certain_to_lead_confirms_nobody",
    ),
    Mutation(
        "doomed-confirmed",
        "who is to be fenced is confirmed no more",
        "ckv/cluster/watch.py",
        "        return self.reported > NEVER and key not in self._doomed and not self.is_inactive(key)",
        "        return True",
        test="tests/cluster/test_leader.py::test_who_is_to_be_fenced_is_not_confirmed",
    ),
    Mutation(
        "no-wait-after-election",
        "who leads now waits for a lease before it gives a node up",
        "ckv/cluster/leader.py",
        "            self.watch.begin(now)\n            self._gathering = Gathering(now, self.options.lease, world)",
        "            self._gathering = Gathering(now, self.options.lease, world)",
        test="tests/cluster/test_leader.py::test_a_new_leader_waits_before_it_gives_anybody_up",
    ),
    Mutation(
        "beat-not-watched",
        "a node whose beat in the database moves is not given up",
        "ckv/cluster/watch.py",
        "fresh and bool(self._timeout) and now - seen.since > self._timeout",
        "fresh and bool(self._timeout)",
    ),
    Mutation(
        "no-fence",
        "who is fenced writes nothing",
        "tests/cluster/database.py",
        '            if fence is None or not fence.active:\n                link.answer(number, "fenced")',
        '            if fence is None:\n                link.answer(number, "fenced")',
        kind="elections",
    ),
    Mutation(
        "fenced-before-its-locks",
        "whoever fences a process waits for its transactions",
        "tests/cluster/database.py",
        "            if any(known.key == key for known in self.transactions.values()):\n                return False\n",
        "",
        mode="evict",
    ),
    Mutation(
        "no-beat-check",
        "a process whose beat has moved meanwhile is not fenced",
        "tests/cluster/database.py",
        "fence is None or fence.beat != beat or not fence.active",
        "fence is None or not fence.active",
    ),
    Mutation(
        "no-compare-and-set",
        "a map follows the one that whoever made it has read, and no other",
        "tests/cluster/database.py",
        "self.leader[:2] == (expected[0], name) and self.map.version == expected",
        "True",
        kind="elections",
    ),
    Mutation(
        "older-map-taken",
        "a node takes no map but a later one",
        "ckv/cluster/member.py",
        "        if following.version <= self.map.version:",
        "        if following.version == self.map.version:",
        kind="moves",
    ),
    Mutation(
        "given-up-commits",
        "a flush that was given up is committed no more once its slots are released",
        "tests/cluster/records.py",
        "            self._node.flush_link.reset()\n",
        "",
    ),
    Mutation(
        "row-believed",
        "a leader that meets a map of which it does not know asks all nodes for theirs",
        "ckv/cluster/leader.py",
        "        if self.leads and (version > latest or (version < first and version[1] >= first[1])):",
        "        if False:",
        kind="elections behind",
    ),
    Mutation(
        "place-at-once",
        "who is elected decides nothing before all who may know a later map were heard",
        "ckv/cluster/leader.py",
        "        if self._gathering is not None:\n            return  # a later map",
        "        if False:\n            return  # a later map",
        kind="elections behind",
    ),
    Mutation(
        "map-guessed",
        "a primary that has started anew leads when it has heard all who may know a later map",
        "ckv/cluster/gathering.py",
        "            return watch.reported >= self._began + LOOK and not self.missing(watch)",
        "            return True",
    ),
    Mutation(
        "copy-of-another-time",
        "what was copied under one map is served under the next one alone",
        "ckv/cluster/copying.py",
        "    return following.is_up(other) or following.version == before.successor().version",
        "    return True",
        test="tests/cluster/test_copying.py::test_where_another_node_may_have_served_them_the_source_drops_them",
    ),
    Mutation(
        "part-of-a-copy",
        "what was copied is served when all of it is there",
        "ckv/cluster/copying.py",
        "source is not None and self._is_whole and is_certain(",
        "source is not None and is_certain(",
        test="tests/cluster/test_copying.py::test_what_is_not_whole_or_not_right_is_nobodys",
    ),
    Mutation(
        "given-up-returns",
        "a process without a database that was given up begins anew",
        "ckv/cluster/roster.py",
        "            return known.fenced and known.incarnation == ask.incarnation\n"
        "        return not world.is_up((ask.name, ask.incarnation))",
        "            return False\n        return False",
        mode="copy",
    ),
    Mutation(
        "unreleased-taken",
        "a node with a file follows no map that takes what it has not released",
        "ckv/cluster/holding.py",
        "        if not taken:",
        "        if True:",
        test="tests/cluster/test_holding.py::test_a_map_that_takes_what_it_has_not_given_is_not_followed",
    ),
    Mutation(
        "release-forgotten",
        "what a node has released stands in its file before the leader is told so",
        "tests/cluster/filed.py",
        "                if not self.write_note() or not member.released(move):",
        "                if not member.released(move):",
        mode="file",
    ),
    Mutation(
        "copy-forgotten",
        "that all of a copy has come stands in the file before the source is told so",
        "tests/cluster/filed.py",
        "        if said.is_last and not self.write_note():",
        "        if False:",
        mode="file",
    ),
    Mutation(
        "others-forgotten",
        "that there are rows of others stands in the file before the first of them",
        "ckv/cluster/holding.py",
        "has_others = bool(self.others or self._early or self._is_receiving)",
        "has_others = False",
        mode="file",
    ),
    Mutation(
        "others-kept",
        "rows of a slot that a node has no more are deleted",
        "ckv/cluster/holding.py",
        "        self.others |= before.slots_of(name) - mine\n",
        "",
        mode="file",
    ),
    Mutation(
        "copy-beside-others",
        "no copy begins where rows of others are left",
        "ckv/cluster/holding.py",
        "            if self.others or self._is_receiving:",
        "            if False:",
        mode="file",
    ),
    Mutation(
        "part-of-a-filed-copy",
        "what was copied to a file is the node's own when all of it has come",
        "ckv/cluster/holding.py",
        "        self.others |= self._coming - mine if has_copy else self._coming\n",
        "        self.others |= self._coming - mine\n",
        test="tests/cluster/test_holding.py::test_what_differs_from_what_was_sent_is_deleted",
    ),
    Mutation(
        "files-not-waited-for",
        "a primary that has started anew waits for all nodes with files that may know a later map",
        "ckv/cluster/gathering.py",
        "        if self._tier == OWN_TIER and self._unheard:\n            return False\n",
        "",
        test="tests/cluster/test_leader_files.py::test_nothing_is_decided_before_all_nodes_of_the_map_are_heard",
    ),
    Mutation(
        "files-given-up",
        "no node is given up that alone has its records",
        "ckv/cluster/watch.py",
        "not self._timeout or tier == OWN_TIER or now",
        "not self._timeout or now",
        mode="file",
    ),
    Mutation(
        "left-while-joining",
        "a node that was told to stop does not go while it may be given slots",
        "ckv/cluster/member.py",
        "        may_have = Join in self._told or (self.joined",
        "        may_have = (self.joined",
        test="tests/cluster/test_member.py::test_who_has_asked_to_join_leaves_when_it_was_not_taken_in",
    ),
    Mutation(
        "later-maps-alone",
        "a primary routes by the map by which one leads, though it has had a later one",
        "ckv/cluster/router.py",
        "following.version == self.map.version or (found and following.version < self.map.version)",
        "following.version <= self.map.version",
        test="tests/cluster/test_router.py::test_whoever_leads_says_which_map_counts",
    ),
    Mutation(
        "nobody-followed",
        "a primary that follows routes by the map of the other one",
        "ckv/cluster/following.py",
        "                return world\n",
        "                return None\n",
    ),
)


def survived(mutation: Mutation) -> str:
    """Makes the mutation in a copy of the code; what the simulation says if it does not catch it, else nothing."""
    with mutant(mutation) as copy:
        if mutation.test:
            test = run_in(copy, *PYTEST, mutation.test)
            return "" if test.returncode == 1 and "AssertionError" in test.stdout else test.stdout + test.stderr
        words = ("--mode", mutation.mode, "--kind", mutation.kind, "--count", str(SCHEDULES), "--jobs", "1")
        simulation = run_in(copy, "tests.cluster.simulate", *words)
    # The exit code alone would also be 1 for a copy that does not even run.
    if simulation.returncode != 1 or "FAILED" not in simulation.stdout:
        return "the simulation\n" + simulation.stdout + simulation.stderr
    return ""


if __name__ == "__main__":
    sys.exit(mutations.main(MUTATIONS, survived, sys.argv[1:]))
