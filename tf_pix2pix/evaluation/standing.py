"""Standing: is a model better than the best trivial answer, which requires no training?"""

from typing import Any

from tf_pix2pix.metrics.descriptions import METRICS

VERDICTS = {
    "better": "Better than nothing",
    "unclear": "Not clearly better than nothing",
    "worse": "No better than nothing",
}


def compare(name: str, found: dict[str, Any], trivial: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Compares a metric of the model with that of the trivial answers.

    Args:
      name, found: a metric, and its entry in metrics.json.
      trivial: the entry "trivial" of metrics.json.

    Returns:
      `answers`: the value of each answer that has the metric. `best_answer`: the name of the best one. `standing`: a
      key of VERDICTS; "unclear" if the 95 % interval of the difference, or else of the value, allows that the model is
      worse. The last two are None if nothing compares.
    """
    known = {answer: values[name]["value"] for answer, values in trivial.items() if name in values}
    answers = {answer: value for answer, value in known.items() if value is not None}
    metric, value = METRICS.get(name), found["value"]
    if not answers or value is None or metric is None or metric.higher_is_better is None:
        return {"answers": answers, "best_answer": None, "standing": None}
    sign = 1 if metric.higher_is_better else -1
    best = max(answers, key=lambda answer: sign * answers[answer])
    gain = sign * (value - answers[best])
    end = found.get("low" if sign > 0 else "high")
    least_gain = gain if end is None else sign * (end - answers[best])
    if behind := trivial[best][name].get("behind"):  # image by image, hence narrower
        gain, least_gain = behind["value"], behind["low"]
    standing = "better" if least_gain > 0 else "unclear" if gain > 0 else "worse"
    return {"answers": answers, "best_answer": best, "standing": standing}


def verdict(facts: dict[str, Any]) -> dict[str, Any] | None:
    """The comparison that stands for all: pixel accuracy of label maps, otherwise L1, or the first that compares.

    Args:
      facts: the contents of metrics.json.

    Returns:
      As `compare`, with "metric", "heading" (of VERDICTS) and the metric's entry; None if nothing compares.
    """
    rows = {name: {**found, **compare(name, found, facts["trivial"])} for name, found in facts["metrics"].items()}
    compared = {name: row for name, row in rows.items() if row["standing"]}
    name = next((name for name in ("pixel_accuracy", "l1", *compared) if name in compared), None)
    if name is None:
        return None
    return {**compared[name], "metric": METRICS[name], "heading": VERDICTS[compared[name]["standing"]]}
