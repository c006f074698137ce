"""Carrying out a change set: in the order of dependencies, and back when it fails."""

import traceback
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from penstock.rehearsal.cloud import Cloud, now
from penstock.rehearsal.cloudformation import catalogue, schema
from penstock.rehearsal.cloudformation.kinds import ResourceFailed, Scene
from penstock.rehearsal.cloudformation.planning import Planner, differing
from penstock.rehearsal.cloudformation.records import ChangeSet, Deck, Made, Stack
from penstock.rehearsal.cloudformation.template import Evaluation, Tree, dependencies
from penstock.rehearsal.refusals import AwsError

SIDE_BY_SIDE = 8
RESOURCE_S = 3.0
"""How long CloudFormation takes for any resource, in AWS's seconds."""
CANCELLED = "Resource creation cancelled"


class StackFailed(Exception):
    """Some resource failed; the text lists which."""


class Undo:
    """What has to be done to come back to where the stack was."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, Callable[[], None]]] = []
        self.leftovers: list[Made] = []


class Execution:
    """Works on stacks in threads of its own."""

    def __init__(self, cloud: Cloud, deck: Deck) -> None:
        self._cloud, self._deck = cloud, deck
        self._planner = Planner(cloud)

    def begin(self, change_set: ChangeSet) -> None:
        """Begin to carry out a change set."""
        stack = change_set.stack
        creates = stack.status == "REVIEW_IN_PROGRESS"
        stack.enter("CREATE_IN_PROGRESS" if creates else "UPDATE_IN_PROGRESS", "User Initiated")
        self._guarded(lambda: self._carry_out(change_set, creates=creates), stack)

    def begin_delete(self, stack: Stack, retain: Iterable[str]) -> None:
        """Begin to delete a stack."""
        stack.enter("DELETE_IN_PROGRESS", "User Initiated")
        kept = set(retain)
        self._guarded(lambda: self._delete(stack, kept), stack)

    def begin_going_back(self, stack: Stack, skipped: Iterable[str]) -> None:
        """Go on with a rollback that got stuck, without the resources `skipped`."""
        stack.enter("UPDATE_ROLLBACK_IN_PROGRESS", "User Initiated")
        without = set(skipped)
        self._guarded(lambda: self._go_back(stack, without), stack)

    def begin_rollback(self, stack: Stack) -> None:
        """Begin to undo a change that failed with its rollback switched off."""
        if stack.status == "CREATE_FAILED":
            self._guarded(lambda: self._roll_back_creation(stack, "User Initiated."), stack)
        else:
            self._guarded(lambda: self._roll_back_update(stack, "User Initiated"), stack)

    def _guarded(self, work: Callable[[], None], stack: Stack) -> None:
        def run() -> None:
            try:
                work()
            except Exception:  # noqa: BLE001  a defect must show in the stack, not hang it
                end = stack.status.removesuffix("_IN_PROGRESS") + "_FAILED"
                stack.enter(end, f"the stand-in failed: {traceback.format_exc()}")

        self._cloud.in_background(run, f"stack {stack.name}")

    def _carry_out(self, change_set: ChangeSet, *, creates: bool) -> None:
        stack, undo = change_set.stack, Undo()
        verb = "CREATE" if creates else "UPDATE"
        stack.before = stack.before or (stack.template, stack.parameters, stack.tags)
        stack.template, stack.tags = change_set.template, change_set.tags
        stack.parameters, stack.capabilities = change_set.parameters, change_set.capabilities
        evaluation = self._planner.evaluation(
            stack, stack.template, stack.parameters, stack.resources.get
        )
        try:
            self._apply(stack, evaluation, undo)
            stack.outputs = _outputs(evaluation)
        except (StackFailed, AwsError) as failed:
            change_set.execution = "EXECUTE_FAILED"
            stack.undone_not = [*reversed(undo.steps), *stack.undone_not]
            if stack.disable_rollback:
                stack.enter(f"{verb}_FAILED", str(failed))
            elif creates:
                self._roll_back_creation(stack, str(failed))
            else:
                self._roll_back_update(stack, str(failed))
            return
        change_set.execution = "EXECUTE_COMPLETE"
        stack.undone_not, stack.before = [], None
        if not creates:
            stack.updated = now()
            stack.enter("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
            gone = [n for n in stack.resources if n not in evaluation.resources()]
            self._clean_up(stack, gone, undo.leftovers)
        stack.enter(f"{verb}_COMPLETE")

    def _apply(self, stack: Stack, evaluation: Evaluation, undo: Undo) -> None:
        resources = evaluation.resources()
        needs = {name: set(dependencies(name, e, set(resources))) for name, e in resources.items()}

        def work(name: str) -> None:
            self._settle(stack, name, resources[name], evaluation, undo)

        failed = _side_by_side(needs, work)
        if failed:
            listed = ", ".join(sorted(failed))
            raise StackFailed(f"The following resource(s) failed: [{listed}].")

    def _settle(
        self, stack: Stack, name: str, resource: Tree, evaluation: Evaluation, undo: Undo
    ) -> None:
        kind, old = resource["Type"], stack.resources.get(name)
        wish = evaluation.value(resource.get("Properties", {}))
        scene = Scene(self._cloud, stack, name)
        needs = dependencies(name, resource, set(evaluation.resources()))
        policy = resource.get("DeletionPolicy", "Delete")
        if old is not None and old.status.endswith("FAILED"):
            self._remove(stack, old, quiet=True)
            old = None
        if old is None or old.kind != kind:
            self._create(scene, kind, wish, needs, policy)
            undo.steps.append((name, lambda: self._forget(stack, name, old, undo)))
            return
        names = differing(old.properties, wish)
        old.depends_on, old.deletion_policy = needs, policy
        if not names:
            return
        fatal = set(names) & schema.create_only(kind, self._cloud.region)
        if fatal:
            self._replace(scene, old, wish, needs, undo)
        else:
            self._modify(scene, old, wish, undo)

    def _create(
        self, scene: Scene, kind: str, wish: Tree, needs: tuple[str, ...], policy: str
    ) -> None:
        stack, name = scene.stack, scene.logical_id
        stack.tell(name, "", kind, "CREATE_IN_PROGRESS")
        try:
            self._cloud.clock.sleep(RESOURCE_S)
            if self._cloud.faults.take("resource", name=name):
                raise ResourceFailed('Resource handler returned message: "Rate exceeded"')
            made = catalogue.kind(kind).make(scene, wish)
        except ResourceFailed as failed:
            if failed.made is not None:  # it exists, though it is of no use
                made = failed.made
                made.kind, made.depends_on, made.status = kind, needs, "CREATE_FAILED"
                made.reason = str(failed)
                stack.resources[name] = made
            physical = failed.made.physical_id if failed.made else ""
            stack.tell(name, physical, kind, "CREATE_FAILED", str(failed))
            raise
        made.kind, made.depends_on, made.deletion_policy = kind, needs, policy
        stack.resources[name] = made
        stack.tell(name, made.physical_id, kind, "CREATE_COMPLETE")

    def _replace(
        self, scene: Scene, old: Made, wish: Tree, needs: tuple[str, ...], undo: Undo
    ) -> None:
        stack, name = scene.stack, scene.logical_id
        asked = (
            "Requested update requires the creation of a new physical resource; hence creating "
            "one."
        )
        stack.tell(name, old.physical_id, old.kind, "UPDATE_IN_PROGRESS", asked)
        if old.named:
            why = (
                "CloudFormation cannot update a stack when a custom-named resource requires "
                f"replacing. Rename {old.physical_id} and update the stack again."
            )
            stack.tell(name, old.physical_id, old.kind, "UPDATE_FAILED", why)
            raise ResourceFailed(why)
        if stack.disable_rollback:
            why = "Replacement type updates not supported on stack with disable-rollback."
            stack.tell(name, old.physical_id, old.kind, "UPDATE_FAILED", why)
            raise ResourceFailed(why)
        self._create(scene, old.kind, wish, needs, old.deletion_policy)
        stack.tell(name, stack.resources[name].physical_id, old.kind, "UPDATE_COMPLETE")
        undo.leftovers.append(old)
        undo.steps.append((name, lambda: self._forget(stack, name, old, undo)))

    def _modify(self, scene: Scene, made: Made, wish: Tree, undo: Undo) -> None:
        stack, name, before = scene.stack, scene.logical_id, made.properties
        stack.tell(name, made.physical_id, made.kind, "UPDATE_IN_PROGRESS")

        def back() -> None:
            catalogue.kind(made.kind).change(scene, made, before)

        try:
            self._cloud.clock.sleep(RESOURCE_S)
            if self._cloud.faults.take("resource", name=name):
                raise ResourceFailed('Resource handler returned message: "Rate exceeded"')
            catalogue.kind(made.kind).change(scene, made, wish)
        except ResourceFailed as failed:
            stack.tell(name, made.physical_id, made.kind, "UPDATE_FAILED", str(failed))
            if failed.made is not None:
                undo.steps.append((name, back))
            raise
        undo.steps.append((name, back))
        made.status, made.changed = "UPDATE_COMPLETE", now()
        stack.tell(name, made.physical_id, made.kind, "UPDATE_COMPLETE")

    def _forget(self, stack: Stack, name: str, old: Made | None, undo: Undo) -> None:
        """Undo a creation: delete the new resource and take the old one back."""
        if new := stack.resources.pop(name, None):
            self._remove(stack, new, quiet=False)
        if old is not None:
            stack.resources[name] = old
            if old in undo.leftovers:
                undo.leftovers.remove(old)

    def _roll_back_creation(self, stack: Stack, why: str) -> None:
        stack.enter("ROLLBACK_IN_PROGRESS", f"{why} Rollback requested by user.")
        failed = self._remove_all(stack, set())
        stack.enter("ROLLBACK_FAILED" if failed else "ROLLBACK_COMPLETE", ", ".join(failed))

    def _roll_back_update(self, stack: Stack, why: str) -> None:
        stack.enter("UPDATE_ROLLBACK_IN_PROGRESS", why)
        if stack.before is not None:
            stack.template, stack.parameters, stack.tags = stack.before
        stack.before = None
        broken = [name for name, each in stack.resources.items() if each.status == "CREATE_FAILED"]
        for name in broken:
            self._remove(stack, stack.resources.pop(name), quiet=False)
        self._go_back(stack, set())

    def _go_back(self, stack: Stack, skipped: set[str]) -> None:
        while stack.undone_not:
            name, step = stack.undone_not[0]
            try:
                if self._cloud.faults.take("rollback", name=name) and name not in skipped:
                    raise ResourceFailed("Internal Failure")
                if name not in skipped:
                    step()
            except ResourceFailed as failed:
                made = stack.resources.get(name)
                kind, physical = (made.kind, made.physical_id) if made else ("", "")
                stack.tell(name, physical, kind, "UPDATE_FAILED", str(failed))
                listed = f"The following resource(s) failed to update: [{name}]."
                stack.enter("UPDATE_ROLLBACK_FAILED", listed)
                return
            del stack.undone_not[0]
        stack.enter("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
        stack.enter("UPDATE_ROLLBACK_COMPLETE")

    def _clean_up(self, stack: Stack, names: list[str], leftovers: list[Made]) -> None:
        gone = {name: stack.resources[name] for name in names}
        needed_by = _inverted(gone)
        _side_by_side(needed_by, lambda name: self._drop(stack, name))
        for made in leftovers:
            self._remove(stack, made, quiet=False)

    def _delete(self, stack: Stack, retain: set[str]) -> None:
        failed = self._remove_all(stack, retain)
        if failed:
            listed = ", ".join(failed)
            stack.enter(
                "DELETE_FAILED", f"The following resource(s) failed to delete: [{listed}]."
            )
            return
        stack.deleted = now()
        stack.enter("DELETE_COMPLETE")

    def _remove_all(self, stack: Stack, retain: set[str]) -> list[str]:
        for name in retain & set(stack.resources):
            made = stack.resources.pop(name)
            stack.tell(name, made.physical_id, made.kind, "DELETE_SKIPPED")
        needed_by = _inverted(stack.resources)
        return sorted(_side_by_side(needed_by, lambda name: self._drop(stack, name)))

    def _drop(self, stack: Stack, name: str) -> None:
        made = stack.resources[name]
        if made.deletion_policy in {"RetainExceptOnCreate", "Retain"}:
            stack.tell(name, made.physical_id, made.kind, "DELETE_SKIPPED")
        else:
            self._remove(stack, made, quiet=False)
        stack.resources.pop(name, None)

    def _remove(self, stack: Stack, made: Made, *, quiet: bool) -> None:
        name = made.logical_id
        if not quiet:
            stack.tell(name, made.physical_id, made.kind, "DELETE_IN_PROGRESS")
        try:
            self._cloud.clock.sleep(RESOURCE_S)
            catalogue.kind(made.kind).remove(Scene(self._cloud, stack, name), made)
        except ResourceFailed as failed:
            made.status, made.reason = "DELETE_FAILED", str(failed)
            stack.tell(name, made.physical_id, made.kind, "DELETE_FAILED", str(failed))
            raise
        stack.tell(name, made.physical_id, made.kind, "DELETE_COMPLETE")


def _side_by_side(needs: Mapping[str, set[str]], work: Callable[[str], None]) -> set[str]:
    """Do each name's work once what it needs is done; returns the names that failed."""
    waiting, done, failed = dict(needs), set[str](), set[str]()
    running: dict[Future[None], str] = {}
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        while waiting or running:
            for name in [n for n, wants in waiting.items() if wants <= done] if not failed else ():
                del waiting[name]
                running[pool.submit(work, name)] = name
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                name = running.pop(future)
                error = future.exception()
                if isinstance(error, ResourceFailed | AwsError):
                    failed.add(name)
                elif error is not None:
                    raise error
                done.add(name)
    return failed


def _inverted(resources: Mapping[str, Made]) -> dict[str, set[str]]:
    needed_by: dict[str, set[str]] = {name: set() for name in resources}
    for name, made in resources.items():
        for other in made.depends_on:
            if other in needed_by:
                needed_by[other].add(name)
    return needed_by


def _outputs(evaluation: Evaluation) -> list[dict[str, str]]:
    outputs = []
    for name, each in evaluation.tree.get("Outputs", {}).items():
        if "Condition" in each and not evaluation.condition(each["Condition"]):
            continue
        output = {"OutputKey": name, "OutputValue": str(evaluation.value(each["Value"]))}
        if "Description" in each:
            output["Description"] = each["Description"]
        outputs.append(output)
    return outputs
