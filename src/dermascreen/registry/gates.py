"""The conditions that a model has to meet before it is registered."""

from typing import NamedTuple

from dermascreen.artifacts.results.details.evaluation import ShortcutsDetails, ThresholdDetails
from dermascreen.artifacts.results.details.explanation import ExplainDetails
from dermascreen.core.params import WITH_DUPLICATES, RegistryParams
from dermascreen.report.numbers import counted, percent, signed


class Gate(NamedTuple):
    """A condition for registering: whether it is met, and the finding as a sentence."""

    passed: bool
    found: str


def gates(
    shortcuts: ShortcutsDetails,
    threshold: ThresholdDetails,
    explain: ExplainDetails,
    protocol: str,
    params: RegistryParams,
) -> list[Gate]:
    """The conditions of section `registry` of params.yaml, and that test is kept apart from training.

    Parameters: `protocol`, of section `split`.
    """
    name, least = min(shortcuts.baselines.items(), key=lambda item: item[1].low)
    again = shortcuts.reencoded
    checked = [
        Gate(
            least.low > params.min_auc_gain,
            f"The network's AUC less that of {name} is {signed(least.network_minus_baseline)}, at least "
            f"{signed(least.low)}, where more than {params.min_auc_gain:g} is asked for.",
        ),
        Gate(
            again.fall <= params.max_reencoded_fall,
            f"With all test files saved again alike its AUC changes by {signed(-again.fall)} ({signed(-again.high)} to "
            f"{signed(-again.low)}), where it may fall by {params.max_reencoded_fall:g}, as measured.",
        ),
    ]
    if protocol == WITH_DUPLICATES:
        leak = f"split.protocol {protocol} leaves near-duplicates of test images in train"
        checked.append(Gate(passed=False, found=f"{leak}, to measure what that is worth and not to be used."))
    high_recall = threshold.high_recall
    if params.guaranteed_recall:
        promised = high_recall.guaranteed and high_recall.reached
        target = percent(high_recall.target_recall)
        checked.append(Gate(promised, f"A sensitivity of {target} is {'' if promised else 'not '}guaranteed."))
    failed = explain.believable.failed
    named = f" ({', '.join(failed)})" if failed else ""
    checked.append(
        Gate(
            len(failed) <= params.max_failed_checks,
            f"{counted(len(failed), 'check', 'checks')} of the maps failed{named}, where "
            f"{params.max_failed_checks} may.",
        )
    )
    return checked
