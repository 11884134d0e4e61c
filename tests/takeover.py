"""One of two operators that share many live Checkouts is killed: who takes over what, and by when."""

import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from checkout_operator.sharding import owner
from tests.conftest import eventually
from tests.kube import MOUSE
from tests.replicas import CHANGED, Replicas, at

AT_ONCE = 8
EVERY_HUNG, EVERY_DECLINED = 5, 7
"""Of so many Checkouts one is in the middle of its payment when the operator is killed, or is declined."""
_ROWS = """SELECT idempotency_key AS uid, status, extract(epoch FROM created_at)::float AS began,
    extract(epoch FROM completed_at)::float AS ended FROM checkout_sessions WHERE idempotency_key = ANY($1)"""
_CHARGED = "SELECT count(*) AS n FROM transactions WHERE user_id = ANY($1) AND state = 'CAPTURED'"


@dataclass
class Story:
    """What happened. Times are in seconds since the operator `b` was killed."""

    before: dict[str, str] = field(default_factory=dict)
    """The uids of the Checkouts that were applied before, by name."""
    after: dict[str, str] = field(default_factory=dict)
    applied: dict[str, float] = field(default_factory=dict)
    """When each was applied."""
    unfinished: set[str] = field(default_factory=set)
    """The names of those that had not ended when it was killed."""
    noticed: float = 0.0
    """When `a` took `b` for dead."""
    taken: dict[str, float] = field(default_factory=dict)
    """When `a` took over each."""
    approved: float = 0.0
    rows: dict[str, dict] = field(default_factory=dict)
    """The saga of each, by name."""
    phases: dict[str, str] = field(default_factory=dict)
    shown: float = 0.0
    """When the last end was seen."""
    charged: int = 0
    events: dict = field(default_factory=dict)

    def share(self, member, names):
        """Give those of a member, as both operators have computed it."""
        return {name for name, uid in names.items() if owner(uid, {"a", "b"}) == member}

    def waits(self):
        """Give how long each of `b`'s that were applied after the kill waited until it was started, in order."""
        return sorted(self.rows[name]["began"] - self.applied[name] for name in self.share("b", self.after))

    def lines(self):
        """Give the story in words."""
        lost, waited = self.share("b", self.before), self.share("b", self.after)
        total, waits = len(self.before) + len(self.after), self.waits()
        ends = [row["ended"] for row in self.rows.values()]
        yield f"two operators, {total} Checkouts: a owned {total - len(lost) - len(waited)}, b owned {len(lost) + len(waited)}"
        yield (
            f"   0.0 s  b is killed (SIGKILL); {len(self.before)} were applied, {len(self.unfinished)} of them had not ended, "
            f"{len(self.unfinished & lost)} of these were b's; {len(self.after)} more are applied from now on"
        )
        yield f"{self.noticed:6.1f} s  a takes b for dead: its Lease has run out"
        yield (
            f"{max(self.taken.values()):6.1f} s  a has taken over {len(self.taken)} of b's from a list, "
            f"the first at {min(self.taken.values()):.1f} s; its watch brings the rest"
        )
        yield (
            f"{max(self.rows[name]['began'] for name in waited):6.1f} s  all {len(waited)} of b's that were applied after the kill "
            f"are started; the longest waited {waits[-1]:.1f} s, half of them less than {waits[len(waits) // 2]:.1f} s"
        )
        yield f"{self.approved:6.1f} s  the bank approves the payments that hung"
        yield f"{max(ends):6.1f} s  the last saga has ended; at {self.shown:.1f} s every end was seen"
        kinds = {kind: sum(phase == kind for phase in self.phases.values()) for kind in ("Completed", "Failed")}
        yield (
            f"{len(self.phases)} ended once each: {kinds['Completed']} Completed, {kinds['Failed']} Failed; "
            f"{len(self.rows)} sagas, charged {self.charged} times"
        )


def play(platform, scene, count):
    """Have the story happen with so many Checkouts, half of which are applied after the kill."""
    story, kube = Story(), scene.kube
    buyer, hung, declined = users = [platform.shopper().user_id for _ in range(3)]
    platform.bank("hang", hung)
    platform.bank("decline", declined)
    replicas = Replicas(scene, "ab", mirror_mode="None")
    eventually(lambda: replicas.all_know("a", "b"), 60)
    numbers = itertools.count()

    def apply(_):
        number, sent = next(numbers), time.time()
        user = hung if number % EVERY_HUNG == 0 else declined if number % EVERY_DECLINED == 0 else buyer
        name = kube.apply(userId=user, items=MOUSE, ttlSecondsAfterFinished=3600)
        story.applied[name] = sent
        return name

    def apply_all(many):
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return set(pool.map(apply, range(many)))

    before = apply_all(count // 2)
    eventually(lambda: "Paying" in kube.phases().values(), 60)
    replicas.running["b"].kill()
    killed = time.time()
    story.unfinished = kube.unfinished() & before
    after = apply_all(count - len(before))
    eventually(lambda: replicas.members("a") == {"a"}, 60)
    eventually(lambda: any(one["event"] == "took over" and at(one) > killed for one in replicas.said("a")), 60)
    story.approved = time.time() - killed
    platform.bank("approve", hung)
    eventually(lambda: kube.phases().keys() >= before | after and not kube.unfinished(), 240, every=0.5)
    story.shown = time.time() - killed
    items = kube.session.get(kube.checkouts, timeout=60).json()["items"]
    uids = {one["metadata"]["name"]: one["metadata"]["uid"] for one in items}
    story.before, story.after = {one: uids[one] for one in before}, {one: uids[one] for one in after}
    story.phases = {one["metadata"]["name"]: one["status"]["phase"] for one in items}
    heard = [one for one in replicas.said("a") if one["event"] == CHANGED and one["left"] == ["b"]]
    story.noticed = at(heard[0]) - killed
    story.taken = {name: when - killed for name, when in replicas.taken("a").items() if when > killed}
    names = {uid: name for name, uid in uids.items()}
    for row in platform.sql(_ROWS, list(names)):
        times = {key: row[key] - killed for key in ("began", "ended")}
        assert names[row["uid"]] not in story.rows, "two sagas of one resource"
        story.rows[names[row["uid"]]] = row | times
    story.applied = {name: sent - killed for name, sent in story.applied.items()}
    story.charged = platform.sql(_CHARGED, users, bank=True)[0]["n"]
    story.events = scene.events()
    return story
