"""Texts for the parity check of an export where nobody brought any: short and long, in several scripts."""

SAMPLE_TEXTS = (
    "how to reset a forgotten password",
    "price of a red car",
    "Who wrote the theory of general relativity, and when was it published?",
    "The model is exported once and checked against the framework that trained it.",
    "return the index of the first element that satisfies a predicate",
    "A bank may refuse a transfer when the account lacks cover; the customer is told within one working day, and the "
    "reasons are given in writing on request.",
    "SELECT name, count(*) FROM visits WHERE day >= '2024-01-01' GROUP BY name ORDER BY 2 DESC",
    "https://example.com/docs/install?version=2#linux",
    "Die Straßenbahn fährt sonntags nur alle dreißig Minuten.",
    "¿Cuánto tarda el envío a las islas?",
    "Les œuvres complètes, reliées en cuir, sont épuisées.",
    "Как долго действует гарантия на батарею?",
    "電池の保証期間はどのくらいですか",
    "كم تستغرق إعادة المبلغ؟",
    "yes",
    "Symptoms began two days after the second dose with fever of 39.2 °C, headache and joint pain; all of them went "
    "away within 72 hours without treatment. Blood counts were normal on days 3, 7 and 14. The patient had no history "
    "of allergies, took no other medicine, and was seen again after three months, when nothing was found.",
)
