"""A machine on paper: plans are made for it and carried out on it, with failures and kills anywhere.

What each step does to it is what `UnitApplier` and `RouteApplier` do to a real one.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from reconciler.core.endpoint import SocketEndpoint, TcpEndpoint
from reconciler.core.hashing import text_hash
from reconciler.core.inventory import OwnedUnit
from reconciler.core.operations import Operation, Verb, When, check_graph
from reconciler.core.plan import Plan, Revision
from reconciler.core.routes import BackendUse, Route
from reconciler.core.types import Bytes, ModelId, ProfileName, UnitName, VersionId, unit_name
from reconciler.core.units import GpuAccess, SupervisorKind, UnitDefinition, UnitState, UnitStatus
from reconciler.kinds.artifact.plan import ArtifactPlan
from reconciler.kinds.route.types import GATEWAY, RouteChange, RouteWorld
from reconciler.kinds.unit.types import DesiredUnit, ObservedUnit, UnitChange, UnitReturn, UnitWorld
from reconciler.reconcile.plan import Commit, Desired, Request, make_plan
from reconciler.reconcile.stand_in import cast, stand_in
from reconciler.reconcile.world import World
from reconciler.spec.load import load

OWNER = "0123456789ab"
PORTS = {"a": (8601, 8701), "b": (8602, 8702), "c": (8603, 8703)}
"""In the order of `PROFILES`."""
PROFILES = ("cpu", "mid")
_ALIVE = (UnitState.RUNNING, UnitState.STARTING, UnitState.RESTARTING)


@dataclass(frozen=True, slots=True)
class Wish:
    """A model as the spec wants it; `takes` is of `ram`, None where nobody knows."""

    model: str
    version: str = "v1"
    surge: bool = True
    takes: int | None = 1
    blocked: bool = False

    def unit(self, profile: str = "cpu") -> DesiredUnit:
        """Marks are versions, so that plans can be read."""
        mark = self.version if self.surge else None
        name = unit_name(self.model, profile, mark)
        port = PORTS[self.model][PROFILES.index(profile)]
        endpoint = SocketEndpoint(f"/run/{name}.sock") if self.surge else TcpEndpoint("127.0.0.1", port)
        return DesiredUnit(
            _definition(name, self.version),
            ModelId(self.model),
            VersionId(self.version),
            ProfileName(profile),
            endpoint,
            embedding=False,
            ready_seconds=5.0,
            blocked=("it has no sha256", "modelctl pull") if self.blocked else None,
            takes=None if self.takes is None else {"ram": Bytes(self.takes)},
        )

    def route(self, profile: str = "cpu") -> Route:
        return Route(ModelId(self.model), PORTS[self.model], self.unit(profile).endpoint, 5.0)


def _definition(name: UnitName, version: str) -> UnitDefinition:
    return UnitDefinition(
        name=name,
        description=name,
        argv=("/bin/llama-server",),
        environment=(("MODELCTL_VERSION", version),),
        working_directory="/",
        log_path=None,
        memory_limit=None,
        read_paths=(),
        write_paths=(),
        gpu=GpuAccess.NONE,
        loopback=True,
    )


@dataclass
class PaperMachine:
    """What a machine is to a plan."""

    capacity: int = 10
    """Of `ram`."""
    units: dict[UnitName, OwnedUnit] = field(default_factory=dict)
    states: dict[UnitName, UnitState] = field(default_factory=dict)
    files: dict[UnitName, str] = field(default_factory=dict)
    takes: dict[UnitName, int | None] = field(default_factory=dict)
    routes: dict[ModelId, Route] = field(default_factory=dict)
    released: set[ModelId] = field(default_factory=set)
    """Their requests are turned away, until their routes change."""
    gateway: str | None = None
    up: bool = False
    foreign: str | None = None
    held: dict[int, str] = field(default_factory=dict)
    supervised: bool = True
    """Whether the supervisor runs."""
    uses: dict[UnitName, BackendUse] = field(default_factory=dict)
    last_ready: dict[UnitName, OwnedUnit] = field(default_factory=dict)
    broken: set[UnitName] = field(default_factory=set)
    """These never answer."""
    strange: set[UnitName] = field(default_factory=set)
    """Their processes were started by files that somebody had changed."""
    generation: int = 0

    def plan(
        self,
        *wishes: Wish,
        profile: str = "cpu",
        request: Request | None = None,
        listed: Collection[str] = tuple(PORTS),
        profiles: Collection[str] = PROFILES,
    ) -> Plan:
        """The plan for `wishes`, with the models `listed` in the spec under `profiles`."""
        units = tuple(wish.unit(profile) for wish in wishes)
        desired = Desired(
            load({"spec.yaml": _spec(listed, profiles)}),
            Revision(None, dirty=False),
            ProfileName(profile),
            units,
            routes={wish.unit(profile).name: wish.route(profile) for wish in wishes if wish.surge},
            room={"ram": Bytes(self.room)},
            gateway=_definition(GATEWAY, "1"),
        )
        for wish, unit in zip(wishes, units, strict=True):
            for one in (unit, stand_in(unit)):
                self.takes.setdefault(one.name, wish.takes)
        made = make_plan(desired, ArtifactPlan((), {}), self.world(units), request or Request())
        check_graph(made.operations)
        return made

    @property
    def room(self) -> int:
        return self.capacity - sum(self.takes.get(name) or 0 for name in self.units if self.alive(name))

    def alive(self, name: UnitName) -> bool:
        return self.states.get(name) in _ALIVE

    def served(self, model: str) -> UnitName | None:
        """The running unit that gets the model's requests at the gateway."""
        route = self.routes.get(ModelId(model))
        if route is None or not self.up:
            return None
        found = [unit.name for unit in self.units.values() if unit.endpoint == str(route.backend)]
        return next((name for name in found if self.alive(name)), None)

    def waits(self, model: str) -> bool:
        """Whether the model's requests wait at the gateway."""
        route = self.routes.get(ModelId(model))
        return self.up and route is not None and route.backend is None and model not in self.released

    def world(self, wanted: Sequence[DesiredUnit]) -> World:
        names = {*self.units, *(one.name for unit in wanted for one in (unit, stand_in(unit)))}
        units = UnitWorld(
            supervisor=SupervisorKind.SUPERVISORD,
            supervisor_running=self.supervised,
            template="{{ unit.name }}\n",
            owner=OWNER,
            generation=self.generation + 1,
            owned=dict(self.units),
            last_ready=dict(self.last_ready),
            observed={name: self._observed(name) for name in names},
        )
        gateway = RouteWorld(dict(self.routes), self.up, self.gateway, self.foreign, held=dict(self.held))
        routes = {
            unit.name: Route(unit.model, (), unit.endpoint, 5.0)
            for unit in wanted
            if isinstance(unit.endpoint, SocketEndpoint)
        }
        chosen = cast(wanted, routes, units, gateway).units
        left = {name for name in self.units if self.alive(name)} - {unit.name for unit in chosen}
        return World(
            units,
            gateway,
            uses={name: self.uses.get(name, BackendUse(0, 0.0)) for name in left},
            takes={name: {"ram": Bytes(take)} for name in left if (take := self.takes.get(name)) is not None},
        )

    def _observed(self, name: UnitName) -> ObservedUnit:
        text = self.files.get(name)
        state = self.states.get(name, UnitState.ABSENT)
        owner = None if text is None else OWNER
        return ObservedUnit(UnitStatus(name, state), None if text is None else text_hash(text), owner)

    def forgotten(self, name: UnitName) -> OwnedUnit:
        """What a unit's file still says of it when the inventory is lost."""
        unit = self.units[name]
        return replace(unit, version=VersionId("unknown"), ready_hash=None, failure=None, retired_at=None)

    def change_by_hand(self, name: UnitName) -> None:
        """Somebody edits the file, and has the supervisor take it up."""
        self.files[name] = "edited"
        self.strange.add(name)

    def kill_supervisor(self) -> None:
        """It dies, and all that it ran."""
        self.supervised = self.up = False
        self.states.clear()

    def run(
        self,
        plan: Plan,
        *,
        failing: Collection[str] = (),
        steps: int | None = None,
        pick: Callable[[Sequence[Operation]], Operation] = lambda ready: ready[0],
    ) -> list[str]:
        """Carry it out, the steps in `failing` failing, killed after so many of those that did something.

        `pick` says which of those that can run goes first. Returns the ids of those that succeeded.
        AssertionError when a step cuts off who asks.
        """
        outcomes: dict[str, bool | None] = {}
        done: list[str] = []
        waiting = list(plan.operations)
        while waiting and (steps is None or len(done) < steps):
            operation = pick([one for one in waiting if outcomes.keys() >= set(one.depends_on)])
            waiting.remove(operation)
            if not _is_due(operation, outcomes):
                outcomes[operation.id] = None
                continue
            succeeded = self._do(operation, fails=operation.id in failing)
            outcomes[operation.id] = succeeded
            if succeeded:
                done.append(operation.id)
        return done

    def _do(self, operation: Operation, *, fails: bool) -> bool:
        if operation.kind == "unit" and operation.verb is Verb.CHECK:
            return self._prove(operation.payload, fails=fails)
        if fails:
            return False
        if operation.kind == "route":
            self._tell(operation)
        elif operation.kind == "generation":
            self._commit(operation.payload)
        elif operation.kind == "unit":
            self._change_unit(operation)
        return True

    def _change_unit(self, operation: Operation) -> None:
        name = UnitName(operation.resource)
        match operation.verb:
            case Verb.LAUNCH:
                self.supervised, self.up = True, self.gateway is not None
                self.states = dict.fromkeys(self.files, UnitState.RUNNING)
            case Verb.WRITE:
                self._put(operation.payload.unit)
            case Verb.START | Verb.RESTART:
                assert self.supervised, f"{name} is started by a supervisor that does not run"
                unit = operation.payload.unit
                assert operation.verb is Verb.START or not self._is_asked(name), f"{name} is cut off"
                self._run(unit)
                self.units[name] = replace(unit, started_hash=unit.config_hash)
            case Verb.RESTORE:
                self._restore(operation)
            case Verb.STOP:
                self._stop(name)
            case Verb.KEEP | Verb.DRAIN:
                retired_at = 1.0 if operation.verb is Verb.DRAIN else None
                self.units[name] = replace(self.units[name], retired_at=retired_at)
            case Verb.REMOVE:
                self._forget(name)

    def _put(self, unit: OwnedUnit) -> None:
        self.units[unit.name], self.files[unit.name] = unit, unit.text
        self.states.setdefault(unit.name, UnitState.STOPPED)

    def _prove(self, change: UnitChange, *, fails: bool) -> bool:
        unit = change.unit
        good = not fails and unit.name not in self.broken
        self.units[unit.name] = replace(
            unit,
            started_hash=unit.config_hash,
            ready_hash=unit.config_hash if good else unit.ready_hash,
            failure=None if good else "it does not answer",
        )
        return good

    def _restore(self, operation: Operation) -> None:
        if isinstance(operation.payload, UnitReturn):
            back = operation.payload
            self._stop(back.failed)
            self._forget(back.failed)
            unit = replace(back.previous.unit, failure="it does not answer")
            if back.revive:
                unit = replace(unit, started_hash=unit.config_hash)
                self._run(unit)
            self.units[unit.name] = unit
        else:
            unit = operation.payload.unit
            self._put(replace(unit, started_hash=unit.config_hash, ready_hash=unit.config_hash))
            self._run(unit)

    def _run(self, unit: OwnedUnit) -> None:
        self.states[unit.name] = UnitState.RUNNING
        self.strange.discard(unit.name)
        if self.files[unit.name] != unit.text:
            self.strange.add(unit.name)

    def _is_asked(self, name: UnitName) -> bool:
        return self.up and self.alive(name) and name == self.served(self.units[name].model)

    def _stop(self, name: UnitName) -> None:
        if self.alive(name):
            used = {str(route.backend) for route in self.routes.values()}
            assert self.units[name].endpoint not in used, f"{name} is stopped while requests go to it"
            self.states[name] = UnitState.STOPPED
        if name in self.units:
            self.units[name] = replace(self.units[name], started_hash=None)

    def _forget(self, name: UnitName) -> None:
        assert not self.alive(name), f"{name} is removed while it runs"
        for kept in (self.units, self.files, self.states):
            kept.pop(name, None)

    def _commit(self, what: Commit) -> None:
        gone = {old for old, new in what.replaced if new in self.units and self.units[new].answered}
        self.last_ready = {
            name: unit
            for name, unit in self.units.items()
            if unit.answered and name not in {*what.without, *gone}
        }
        self.generation += 1

    def _tell(self, operation: Operation) -> None:
        match operation.verb:
            case Verb.LAUNCH:
                if not self.supervised:
                    self.states = dict.fromkeys(self.files, UnitState.RUNNING)
                self.supervised = True
                self.gateway, self.up = operation.payload.config_hash, True
            case Verb.REMOVE if operation.payload is None:
                assert not self.routes, "the gateway goes while it has routes"
                self.gateway, self.up = None, False
            case Verb.REMOVE:
                self.routes.pop(ModelId(operation.resource))
            case Verb.RELEASE:
                self.released.add(ModelId(operation.resource))
            case _:
                assert self.up, "the gateway is not there to be told"
                self._change(operation.payload)
                self.released.discard(ModelId(operation.resource))

    def _change(self, change: RouteChange) -> None:
        route = change.route
        if route.backend is not None:
            backends = [unit.name for unit in self.units.values() if unit.endpoint == str(route.backend)]
            assert any(self.alive(name) for name in backends), f"{route.model} is sent to what does not run"
        taken = {unit.endpoint for unit in self.units.values() if self.alive(unit.name)}
        assert taken.isdisjoint(f"http://127.0.0.1:{port}" for port in route.ports), "a runtime has its port"
        self.routes[route.model] = route


def _is_due(operation: Operation, outcomes: Mapping[str, bool | None]) -> bool:
    """As the executor has it: True, False and None are done, failed and skipped."""
    ended = [outcomes[needed] for needed in operation.depends_on]
    if operation.when is When.SUCCESS:
        return all(ended)
    return operation.when is When.DONE or False in ended


def _spec(models: Collection[str], profiles: Collection[str]) -> str:
    lines = ["profiles:", *(f"  {name}: {{gpus: []}}" for name in profiles)]
    lines += ["models:" if models else "models: []"]
    for model in models:
        lines += [
            f"  - id: {model}",
            "    rollout: surge",
            "    current_version: v1",
            "    versions: [{version_id: v1, gguf_url: hf://org/repo/a.gguf}]",
            "    profiles:",
            *(
                f"      {name}: {{port: {port}}}"
                for name, port in zip(PROFILES, PORTS[model], strict=True)
                if name in profiles
            ),
        ]
    return "\n".join(lines) + "\n"


def steps(plan: Plan) -> list[str]:
    """What it does, in its order; reloads and checks of files are left out."""
    return [f"{step.verb} {step.resource}" for step in plan.operations if step.verb is not Verb.RELOAD]
