"""What can be said of the world, and where errors are the same."""

from __future__ import annotations

from collections.abc import Mapping

from plait.evaluation.schema import Evaluation, Invariance, WorldClaim
from plait.report import words
from plait.report.sections import Section, folded

__all__ = ["World"]

UNDECIDED = "cannot be told"


class World(Section):
    """A claim about the world with its checks, or why it cannot be told; and the invariance of errors."""

    rank = 61
    template = """
{% if claim %}<p><strong>{{ claim.verdict }}</strong></p>
{% if claim.rows %}<div class="scroll"><table class="breakdown"><tbody>
{% for name, value in claim.rows %}<tr><td class="name">{{ name }}</td><td>{{ value }}</td></tr>
{% endfor %}
</tbody></table></div>
<p class="note">It holds only if all that acts on both treatment and outcome is adjusted for, nothing that the treatment changes is, and recordings were not chosen by either. The checks can refute that; they cannot prove it. No model of plait’s is involved.</p>
{% else %}<p class="note">A model shows what goes together, not what causes what. Where you know that, name it: <code>plait explain RUN --treatment NAME --outcome NAME --adjust NAME</code>.</p>{% endif %}{% endif %}
{% if invariance %}<h3 style="margin-top:1.4rem">Are the errors the same everywhere?</h3>
<p>{{ invariance.verdict }}</p>
{% if invariance.rows %}<p class="note">The model’s errors from each subset of its streams, compared over {{ invariance.over }}; p-values are corrected for the number of subsets, level 1&nbsp;%. A stream that is in every subset with the same errors everywhere is a candidate for a cause, if the model reads it well and nothing else changes between environments. Not significant is not the same.</p>
<div class="scroll"><table class="breakdown"><thead><tr><th>answers from</th><th class="num">p</th><th>errors</th></tr></thead><tbody>
{% for c in invariance.rows.shown %}<tr><td class="name">{{ c.name }}</td><td class="num soft">{{ c.p }}</td><td>{{ c.errors }}</td></tr>
{% endfor %}
</tbody></table></div>{% endif %}{% endif %}
"""

    def title(self, evaluation: Evaluation) -> str:
        return "What causes what?"

    def content(self, evaluation: Evaluation) -> Mapping[str, object] | None:
        claim, invariance = evaluation.get("claim"), evaluation.get("invariance")
        if not claim and not invariance:
            return None
        return {"claim": claim and _claim(claim), "invariance": invariance and _invariance(invariance)}


def _claim(claim: WorldClaim) -> Mapping[str, object]:
    what = f"{words.printable(claim['treatment'])} on {words.printable(claim['outcome'])}"
    if claim["verdict"] == UNDECIDED:
        about = (
            f"Whether there is an effect of {what} cannot" if claim["treatment"] and claim["outcome"] else "It cannot"
        )
        return {"verdict": f"{about} be told: {words.printable(claim['reason'])}.", "rows": _rows(claim)}
    given = claim["adjust"] == ["none"]  # at random
    adjusted = "nothing" if given else words.listed([words.printable(n) for n in claim["adjust"]])
    size = f"{words.change('mae', claim['effect'])} ({words.span('mae', claim['interval'])}), adjusted for {adjusted}"
    found = "An effect of" if claim["verdict"] == "effect" else "No effect was found of"
    return {"verdict": f"{found} {what}: {size}.", "rows": _rows(claim)}


def _rows(claim: WorldClaim) -> list[tuple[str, str]]:
    if "effect" not in claim:
        return []
    low, high = claim["propensity"]
    treated, others = claim["effective_items"]
    found = [
        ("items", f"{claim['items']:,}" + (f", {claim['left_out']:,} left out" if claim.get("left_out") else "")),
        ("difference as it is", words.change("mae", claim["unadjusted"])),
        ("adjusted effect", f"{words.change('mae', claim['effect'])}, p {words.p_value(claim.get('p'))}"),
        (
            "overlap",
            f"propensity {low:.2f} to {high:.2f}, {100 * claim['outside']:.0f} % outside .05 to .95; weights are worth "
            f"{treated:.0f} and {others:.0f} items",
        ),
        (
            "placebo",
            f"exchanged treatments have an effect at 5 % in {100 * claim['placebo_alarms']:.0f} % of draws, "
            f"mean {words.change('mae', claim['placebo_mean'])}",
        ),
    ]
    if "within_groups" in claim:
        within = f"{words.change('mae', claim['within_groups'])}; what groups share acts on both: p {words.p_value(claim['within_p'])}"
        found.append(("within groups", within))
    if "control_effect" in claim:
        control = f"{words.change('mae', claim['control_effect'])}, p {words.p_value(claim['control_p'])}"
        found.append(("negative control", control))
    if claim.get("e_value") is not None and claim["verdict"] == "effect":
        least = claim.get("e_value_interval")
        text = f"{claim['e_value']:.2f}" + ("" if least is None else f"; of the end of the interval {least:.2f}")
        found.append(("E-value", f"{text}: so strong must something unmeasured go with both, as risk ratios"))
    return found


def _invariance(found: Invariance) -> Mapping[str, object]:
    over = "the groups" if found["environments"] == "group" else words.printable(found["environments"])
    if found["invariant"]:
        names = words.listed([words.printable(m) for m in found["invariant"]])
        verdict = f"In every subset with the same errors over {over}: {names}."
    else:
        verdict = f"It cannot be told: {words.printable(found['reason'])}."
    rows = [
        {
            "name": " + ".join(words.printable(m) for m in row["modalities"]) or "a constant answer",
            "p": words.p_value(row["p_corrected"]),
            "errors": "not found to differ" if row["accepted"] else "differ",
        }
        for row in found["subsets"]
    ]
    count = words.counted(len(found["sizes"]), "environment")
    return {"verdict": verdict, "over": f"{count} ({over})", "rows": folded(rows, 40)}
