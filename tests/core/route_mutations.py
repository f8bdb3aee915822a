"""Ways to break the compiled route loops and lanes. See :mod:`tests.core.mutations`."""

from __future__ import annotations

from tests.support.mutations import Mutation

MUTATIONS = (
    Mutation(
        "error-for-result",
        "an error in a BATCH is told as one",
        "ckv/core/lane.pyx",
        "            to -= 1\n            result += 1\n",
        "            pass\n",
    ),
    Mutation(
        "tag-not-seen",
        "keys with the same hash tag have the same node",
        "ckv/core/route.pyx",
        "        if stop != NULL and stop > start:",
        "        if False:",
    ),
    Mutation(
        "told-to-another",
        "each answer goes to whoever asked",
        "ckv/core/lane.pyx",
        "            if call.caller != caller:",
        "            if i == 0:",
    ),
    Mutation(
        "resp-out-of-turn",
        "an answer leaves when those before it have left",
        "ckv/core/lane.pyx",
        "        if number_of(call) != self.head:",
        "        if False:",
    ),
    Mutation(
        "resp-left-behind",
        "an answer takes those along that have waited for it",
        "ckv/core/lane.pyx",
        "            append(&self.out, <bytes?>answer)\n",
        "",
    ),
    Mutation(
        "resp-never-due",
        "what leaves is noted, so that the next one is due",
        "ckv/core/lane.pyx",
        "        self.head += 1\n        while self.early:",
        "        while self.early:",
    ),
    Mutation(
        "resp-early-unbounded",
        "answers that wait for others are counted",
        "ckv/core/lane.pyx",
        "            self.early_bytes += self.out.length - before\n",
        "",
    ),
    Mutation(
        "resp-early-for-ever",
        "answers that have waited are counted no more",
        "ckv/core/lane.pyx",
        "            self.early_bytes -= PyBytes_GET_SIZE(answer)\n",
        "",
    ),
    Mutation(
        "resp-flag-for-flag",
        "whether there was a record is told as it is",
        "ckv/core/lane.pyx",
        "resp.write_flag(end_of(&self.out), result[0] == 0xC3)",
        "resp.write_flag(end_of(&self.out), True)",
    ),
    Mutation(
        "resp-error-for-result",
        "an error of a node is told as one",
        "ckv/core/lane.pyx",
        "call.msgid_bytes or is_usual(call.kind, start, input.at) or",
        "True or",
    ),
    Mutation(
        "resp-failed-unexpected",
        "a request whose node is lost is answered with that",
        "ckv/core/lane.pyx",
        "        caller.expect(number_of(call), call.kind)\n",
        "",
    ),
    Mutation(
        "resp-routed-without-number",
        "each request has a number of its own",
        "ckv/core/route.pyx",
        "                number += 1\n            else:",
        "                pass\n            else:",
    ),
    Mutation(
        "resp-routed-unnoted",
        "a session knows of what was passed on for it",
        "ckv/core/route.pyx",
        "        return number == first or caller.begin(number - first)",
        "        return True",
    ),
    Mutation(
        "resp-ping-overtakes",
        "a PING is answered behind what waits",
        "ckv/core/route.pyx",
        "request.kind == PING and number == caller.head and not caller.waiting:",
        "request.kind == PING:",
    ),
    Mutation(
        "resp-ping-before-the-ready",
        "and behind what is about to leave",
        "ckv/core/route.pyx",
        " and not caller.waiting:",
        ":",
    ),
    Mutation(
        "resp-begun-without-bound",
        "so many requests of a client may be in flight",
        "ckv/core/route.pyx",
        "        while input.at < input.end and number < end:",
        "        while input.at < input.end:",
    ),
    Mutation(
        "routed-key-too-long",
        "a key that is too long, and a large value, are for Python",
        "ckv/core/route.pyx",
        "        if request.key_bytes > MAX_KEY_BYTES or request.value_bytes > self.bulky_bytes:\n"
        "            return False\n",
        "",
    ),
    Mutation(
        "resp-routed-behind-a-wait",
        "what is behind a request that has to be waited for is not passed on before it",
        "ckv/core/route.pyx",
        "            append(&self.out, <bytes?>answers)\n",
        "            append(&self.out, <bytes?>answers)\n            going_on = True\n",
    ),
    Mutation(
        "resp-routed-as-another",
        "a request reaches the node as what it is",
        "ckv/core/msgpackrpc.pxd",
        'b"\\xa3DEL\\x91" if request.kind == DEL',
        'b"\\xa3GET\\x91" if request.kind == DEL',
    ),
)
