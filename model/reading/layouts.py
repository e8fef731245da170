"""Where each platform keeps its comments, in CSS selectors: one Layout a platform, tried in this order."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Layout:
    """Where one platform keeps its comments, in CSS selectors; of several the first that matches counts.

    page: one of these must match for the layout to be tried. item: the comments. skip: parts that are not the text.
    post: the opening text where the platform marks it. first_is_post: the first item opens the thread (forums).
    """

    name: str
    page: str
    item: str
    author: tuple[str, ...]
    time: tuple[str, ...]
    body: tuple[str, ...]
    skip: str = ""
    post: str = ""
    answers: str = ""
    first_is_post: bool = False
    confidence: float = 0.9


_AUTHOR: Final = (
    ".comment-author .fn", "cite.fn", ".fn", "[itemprop=author] [itemprop=name]", ".comment-author-name",
    ".comment-author-link", ".comment_author", ".comment-author cite", ".comment-author strong", ".comment-author b",
    ".comment-author a[href]", ".comment-author", "cite", ".comment_name", ".comment-name", ".comment-meta .author",
    ".commenter-name", ".commenter", ".authorname", ".author-name", ".author", ".username", "[rel=author]", ".url",
)  # fmt: skip
_TIME: Final = (
    "time[datetime]", "[itemprop=datePublished]", "[itemprop=dateCreated]", "abbr.published", "abbr[title]",
    ".comment-date", ".comment-time", ".comment_time", ".comment_date", ".comment-metadata a", ".comment-meta a",
    ".commentmetadata a", ".comment-permalink", "a[href*='#comment-']", ".commentmetadata", ".comment-meta", ".date",
    ".datetime", "time",
)  # fmt: skip
_BODY: Final = (
    ".comment-text", ".comment_text", "[itemprop=text]", "[itemprop=commentText]", ".comment-content",
    ".comment_content", ".commenttext", ".comment-entry", ".comment-message", ".comment-bodytext",
    ".comment-body-text", ".comment-copy", ".format_text",
)  # fmt: skip
_SKIP: Final = (
    ".comment-author, .comment-meta, .comment-metadata, .commentmetadata, .comment-header, .comment-footer, "
    ".comment-date, .comment-time, .comment-permalink, .comment-info, .reply, .comment-reply, .comment-reply-link, "
    ".comment-actions, .says, .avatar, .comment-edit-link, .comment-awaiting-moderation, .sharedaddy, .pd-rating, "
    ".comment-likes, .comment-like, .comment-votes, .comment-gravatar, .comment-subject, .perma, .edit-link, #respond, "
    ".comment-respond, cite"
)

LAYOUTS: Final = (
    Layout(
        "reddit",
        "shreddit-comment",
        "shreddit-comment",
        ("[slot=commentMeta] [href*='/user/']", "[noun=comment_author]"),
        ("time[datetime]",),
        ("[slot=comment]",),
        post="[slot=text-body], [data-test-id=post-content]",
    ),
    Layout(
        "reddit",
        "[id^=t1_] .Comment",
        "[id^=t1_]",
        ("[href*='/user/']",),
        ("[id^=CommentTopMeta--Created]",),
        ("[data-test-id=comment]", ".RichTextJSON-root"),
        post="[data-test-id=post-content] .RichTextJSON-root, [data-click-id=text] .RichTextJSON-root",
        confidence=0.8,
    ),
    Layout(
        "reddit",
        ".thing.comment .usertext-body",
        ".thing.comment",
        (".tagline .author",),
        (".tagline time[datetime]",),
        (".usertext-body",),
        post=".thing.link .usertext-body",
    ),
    Layout(
        "stackexchange",
        ".comment-copy",
        "li.comment[id^='comment-'], tr.comment[id^='comment-']",
        (".comment-user",),
        (".comment-date [title]", ".relativetime-clean"),
        (".comment-copy",),
        post=".question .js-post-body, .question .post-text, .question .s-prose",
        answers=".answer[id^='answer-']",
    ),
    Layout(
        "discourse",
        ".topic-body.crawler-post, [itemtype*=DiscussionForumPosting] .post[itemprop=articleBody]",
        ".topic-body.crawler-post",
        ("[itemprop=author] [itemprop=name]", ".creator a"),
        ("time[datetime]",),
        (".post[itemprop=text]", ".post[itemprop=articleBody]", ".post"),
        first_is_post=True,
    ),
    Layout(
        "vbulletin",
        ".postcontainer, [id^=post_message_], .b-post__content",
        "li.postcontainer, li.b-post, table[id^=post]",
        (".username", ".bigusername", ".author a", "[itemprop=author] [itemprop=name]"),
        (".postdate", ".b-post__timestamp", "time[datetime]", ".thead"),
        (".postcontent", "[id^=post_message_]", ".js-post__content-text", ".vb_postbit"),
        skip=".signature, .postfoot, .lastedited",
        first_is_post=True,
    ),
    Layout(
        "phpbb",
        ".postbody .content, .postprofile",
        "div.post[id^=p]",
        (".author .username", ".author .username-coloured", ".author strong", ".postprofile a"),
        (".author time[datetime]", ".author"),
        (".content",),
        skip=".signature, .notice, .attachbox",
        first_is_post=True,
    ),
    Layout(
        "hackernews",
        "tr.athing.comtr",
        "tr.athing.comtr",
        (".hnuser",),
        (".age[title]", ".age"),
        (".commtext",),
        skip=".reply",
        post=".fatitem .toptext",
    ),
    Layout(
        "blogger",
        "li.comment .comment-block, #comments-block, .comment-thread li.comment[id^=c]",
        "li.comment, dt.comment-author",
        ("cite.user", ".user", ".comment-author a", ".comment-author"),
        (".datetime", ".comment-timestamp"),
        (".comment-content", "dd.comment-body", ".comment-body"),
        skip=".comment-footer, .comment-actions, .comment-timestamp",
        post=".post-body, .entry-content",
    ),
    Layout(
        "disqus",
        "[id^=dsq-comment-], .d-noscript-comments .comment, #disqus_thread .comment, #disqus_thread li.post",
        "li[id^=dsq-comment-], .d-noscript-comments .comment, #disqus_thread .comment, #disqus_thread li.post",
        (
            ".comment-author",
            "[id^=dsq-author-user-]",
            ".dsq-comment-header cite",
            "cite",
            ".author",
            ".publisher-anchor-color",
        ),
        ("time[datetime]", ".dsq-comment-header-time", ".time-ago"),
        (".comment-body", ".dsq-comment-text", ".dsq-comment-message", "[id^=dsq-comment-body-]", ".post-message"),
        confidence=0.8,
    ),
    Layout(
        "drupal",
        "[typeof~='sioct:Comment'], .field-name-comment-body, .comment .submitted, .comment__content",
        "[typeof~='sioct:Comment'], article.comment, div.comment, [data-comment-user-id]",
        (".username", "[property='foaf:name']", ".comment__author", ".author", ".submitted a"),
        ("time[datetime]", "[property~='dc:created']", "[data-comment-timestamp]", ".comment__time", ".submitted"),
        (
            ".field-name-comment-body",
            ".comment__content .field",
            ".field--name-comment-body",
            ".content",
            ".comment-body",
        ),
        skip=".links, .expanding-formatter-ellipsis, .expanding-formatter-trigger, .user-signature, .new",
    ),
    Layout(
        "wordpress",
        "li.comment, li.pingback, li.trackback, dt.comment",
        "li.comment, li.pingback, li.trackback, dt.comment",
        _AUTHOR,
        _TIME,
        _BODY,
        skip=_SKIP,
    ),
    Layout(
        "wordpress",
        "[id^='comment-'], [id^='li-comment-'], [id^='div-comment-']",
        "[id^='comment-'], [id^='li-comment-'], [id^='div-comment-']",
        _AUTHOR,
        _TIME,
        _BODY,
        skip=_SKIP,
        confidence=0.8,
    ),
    Layout(
        "spip",
        ".forum-message, .comment-texte, .forum-texte, ul.forum li",
        ".forum-message, li.comment-li, li.forum-fil, ul.forum li",
        (".comment-meta .fn", ".forum-auteur", ".auteur", ".spip_in", ".fn"),
        (".comment-meta .published", ".forum-date", ".published", "abbr", "small"),
        (".comment-texte", ".forum-texte", ".comment-content", ".texte"),
        confidence=0.7,
    ),
    Layout(
        "comment blocks",
        "article.comment, div.comment, section.comment, tr.comment, p.comment",
        "article.comment, div.comment, section.comment, tr.comment, p.comment",
        _AUTHOR,
        _TIME,
        (*_BODY, ".comment-body", ".comment_body", ".content", ".text", ".message", ".body"),
        skip=_SKIP,
        confidence=0.7,
    ),
)
