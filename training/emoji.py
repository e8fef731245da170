"""Lets a word-piece vocabulary of English words read emoji: the tokenizer turns the frequent ones into a word.

Without it every emoji is one unknown token and says nothing. Offsets keep pointing into the text as it was written.
"""

from tokenizers import Regex, Tokenizer
from tokenizers.normalizers import Normalizer, Replace, Sequence

# A word close to the emoji's Unicode short name (CLDR); the network learns what it tells about the writer.
WORDS = {
    "laughing": "😂🤣😆😹",
    "smiling": "😀😃😄😁😊☺🙂😺🤗",
    "grinning": "😅😸",
    "wink": "😉😜😝😛",
    "love": "😍🥰❤♥💕💖💗💙💚💛💜💓💞🖤🤍😻💘💝🧡",
    "kiss": "😘😚😗💋",
    "cool": "😎🤙",
    "excited": "🤩🥳🎉🎊🙌✨🔥💯",
    "delicious": "😋🤤",
    "relieved": "😌",
    "crying": "😭😢😿🥺😥",
    "sad": "😔😞☹🙁😟😕😓😪💔",
    "tired": "😩😫🥱😴",
    "angry": "😡😠🤬😤👿",
    "sick": "🤢🤮🤒😷🤧",
    "shocked": "😱😨😰😲😳😮🤯😧😦",
    "annoyed": "😒🙄😑😐😣😖",
    "awkward": "😬🙃😏",
    "thinking": "🤔🧐",
    "shrug": "🤷",
    "frustrated": "🤦",
    "clown": "🤡",
    "crap": "💩🗑",
    "good": "👍👌💪",
    "bad": "👎",
    "applause": "👏",
    "thanks": "🙏",
    "dead": "💀☠",
    "star": "⭐🌟",
    "yes": "✅✔",
    "no": "❌🚫⛔",
}
# Skin tones, the variation selector and the joiner say nothing of their own.
SILENT = "[\U0001f3fb-\U0001f3ff\ufe0f\u200d]"


def read_emoji(tokenizer: Tokenizer) -> None:
    """Adds the table to the tokenizer's normalizer, in place; it is saved with the tokenizer."""
    steps: list[Normalizer] = [Replace(Regex(SILENT), "")]
    steps += [Replace(Regex(f"[{characters}]"), f" {word} ") for word, characters in WORDS.items()]
    before = tokenizer.normalizer
    tokenizer.normalizer = Sequence([*steps, before] if before is not None else steps)
