// Builds the page. Texts of a thread come from strangers: they only ever become text nodes.

/** An element with a class, plain text or other attributes, handlers under `on`, and children (null is left out). */
export function el(tag, options = {}, ...children) {
  const { on = {}, ...attributes } = options;
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") node.textContent = value;
    else if (name === "class") node.className = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const [name, handler] of Object.entries(on)) node.addEventListener(name, handler);
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}

export const byId = (id) => document.getElementById(id);

/** A bar of shares that sum to one: [{name, tone, share}]; its legend tells the same in words. */
export function stackedBar(parts, label, thin = false) {
  const bar = el("div", { class: thin ? "bar thin" : "bar", role: "img", "aria-label": label });
  for (const part of parts.filter((p) => p.share > 0)) {
    const piece = el("i", { class: `fill-${part.tone}` });
    piece.style.flexGrow = part.share;
    bar.append(piece);
  }
  return bar;
}

export function legend(parts) {
  return el(
    "ul",
    { class: "legend" },
    parts.map((p) => el("li", {}, el("i", { class: `dot fill-${p.tone}` }), `${p.name} `, el("b", { text: p.value }))),
  );
}
