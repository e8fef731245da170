"""What published research says about the direction of each cue value: sign, how certain, and the finding in words.

Only "certain" signs are imposed on a what-if. Sources that report no effect of the very same conduct are named with
what they did study.
"""

from typing import Final

from model.codebook import CUE_VALUES
from model.types import Certainty, Published

_RESOLVED = "satisfied complainers say far more often that they stay (TARP, US surveys)"
_SPEED = (
    "those satisfied quickly stay more often (TARP, US surveys); slow replies cost satisfaction (Istanbulluoglu 2017)"
)
_REPLY = "a reply raises stated willingness to pay (Huang et al. 2018, airlines on Twitter); silence lowers advocacy"
_APOLOGY = (
    "money beat an apology alone in later spending (Halperin et al. 2022, randomised), an apology beat small cash in "
    "withdrawn ratings (Abeler et al. 2010), late apologies lower satisfaction (Roschk and Kaiser 2013)"
)
_EMPATHY = "empathy matters most in how an apology is made (Roschk and Kaiser 2013)"
_COURTESY = "courtesy raises repurchase through perceived justice (Liao 2007)"
_EXPLAIN = "explanations limit the spread of anger (Herhausen et al. 2019), yet raise repurchase in no study used here"
_RESPONSIBILITY = "voluntary recalls help and contested recalls hurt loyalty (Souiden and Pons 2009)"
_DENIAL = "contested recalls hurt loyalty (Souiden and Pons 2009); blame weighs most on reputation (Ma and Zhan 2016)"
_REDRESS = "compensation helps most where it repays in kind (Roschk and Gelbrich 2014; Orsingher et al. 2010)"
_GENEROUS = "more helps up to a point and can backfire (Haesevoets et al. 2017; Estelami and De Maeyer 2002)"
_VOUCHER = (
    "apology and coupon together raised later spending (Halperin et al. 2022, randomised); with a slow answer a "
    "coupon made losses larger (loyalty cards of one grocer)"
)
_ATTENTIVE = "attentiveness mattered most for repurchase and word of mouth (Davidow 2000)"
_EFFORT = "more effort for the customer lowers satisfaction (Kenesei and Bali 2020)"
_DOUBLE = "no recovery paradox after a second failure (Maxham and Netemeyer 2002)"
_NOTHING = "no study used here looks at this"

_TABLE: Final[dict[str, tuple[int, Certainty, str]]] = {
    "contact:made": (1, "certain", _REPLY),
    "contact:none": (-1, "certain", _REPLY),
    "initiative:proactive": (
        0,
        "mixed",
        "credibility and intent up (Arpan and Roskos-Ewoldsen 2005), less negative word of mouth (Nazifi et al. 2021), "
        "yet churn up where nothing had failed (Ascarza et al. 2016, randomised)",
    ),
    "speed:fast": (1, "certain", _SPEED),
    "speed:slow": (-1, "certain", _SPEED),
    "apology:given": (0, "mixed", _APOLOGY),
    "apology:hollow": (
        0,
        "mixed",
        "insincere apologies had no effect on observers (Cugueró-Escofet et al.), some apologies were worse than none "
        "for later spending (Halperin et al. 2022, randomised)",
    ),
    "apology:absent": (0, "mixed", _APOLOGY),
    "empathy:shown": (1, "likely", _EMPATHY),
    "empathy:lacking": (-1, "likely", _EMPATHY),
    "courtesy:courteous": (1, "likely", _COURTESY),
    "courtesy:rude": (-1, "likely", _COURTESY),
    "explanation:given": (0, "mixed", _EXPLAIN),
    "explanation:absent": (0, "mixed", _EXPLAIN),
    "responsibility:accepted": (1, "likely", _RESPONSIBILITY),
    "responsibility:denied": (-1, "certain", _DENIAL),
    "redress:refund": (1, "likely", _REDRESS),
    "redress:cash": (1, "likely", _REDRESS),
    "redress:replacement": (1, "likely", _REDRESS),
    "redress:repair": (1, "likely", _REDRESS),
    "redress:voucher": (0, "mixed", _VOUCHER),
    "redress:gift": (0, "mixed", _GENEROUS),
    "redress:discount": (0, "mixed", _GENEROUS),
    "redress:extra_service": (0, "mixed", _GENEROUS),
    "redress:refused": (-1, "likely", _REDRESS),
    "adequacy:below": (-1, "likely", "fair outcomes drive satisfaction (Orsingher et al. 2010)"),
    "adequacy:meets": (1, "likely", "fair outcomes drive satisfaction (Orsingher et al. 2010)"),
    "adequacy:exceeds": (0, "mixed", _GENEROUS),
    "solved:yes": (1, "certain", _RESOLVED),
    "solved:no": (-1, "certain", _RESOLVED),
    "promise:broken": (-1, "certain", f"taken with double deviation: {_DOUBLE}; no size is published"),
    "follow_up:done": (1, "likely", _ATTENTIVE),
    "follow_up:absent": (-1, "likely", _ATTENTIVE),
    "effort:low": (1, "likely", _EFFORT),
    "effort:high": (-1, "likely", _EFFORT),
    "responder:contractor": (
        0,
        "mixed",
        "a named contractor can shield the brand when things go wrong (Kranzbühler et al. 2019); nothing on apologies",
    ),
    "repeat_failure:yes": (-1, "certain", _DOUBLE),
    "suspicion:yes": (-1, "likely", "a suspected motive turns customers to revenge (Joireman et al. 2013)"),
    "visibility:yes": (
        0,
        "mixed",
        "visible success helps and visible failure hurts with bystanders (Hogreve et al. 2019); compensation in public "
        "fuels the spread of anger (Herhausen et al. 2019)",
    ),
}

LITERATURE: Final[dict[str, Published]] = {
    name: Published(*_TABLE.get(name, (0, "none", _NOTHING))) for name in CUE_VALUES
}
"""One entry for every "cue:value"."""

SEVERITY: Final = Published(
    -1, "certain", "severity lowers repurchase after recovery (Soares and Proença 2015, telecom customers)"
)
