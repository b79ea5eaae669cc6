// The texts of a page whose contrast with what lies beneath them is less than WCAG AA asks for: 4.5, or 3 where large.
() => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const known = new Map();
  const rgba = (colour) => known.get(colour) ?? known.set(colour, read(colour)).get(colour);
  const read = (colour) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below, alpha) => below.map((c, i) => top[i] * alpha + c * (1 - alpha));
  const light = (c) => {
    const [r, g, b] = c.map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  // What lies beneath a text of HTML are the grounds of what holds it; of SVG, also the shapes drawn before it.
  const grounds = (element) => {
    const found = [];
    for (let one = element; one; one = one.parentElement) {
      if (!(one instanceof SVGElement)) found.unshift([rgba(getComputedStyle(one).backgroundColor), 1]);
    }
    return found;
  };
  const shapes = (text, x, y) => [...text.ownerSVGElement.querySelectorAll("path, rect, use")].filter((one) => {
    const box = one.getBoundingClientRect(), before = one.compareDocumentPosition(text) & 4;
    return before && box.left <= x && x <= box.right && box.top <= y && y <= box.bottom && !one.closest("defs");
  }).map((one) => getComputedStyle(one)).filter((style) => style.fill !== "none")
    .map((style) => [rgba(style.fill), style.fillOpacity * style.opacity]);
  const beneath = (element, x, y) => {
    const drawn = element instanceof SVGElement ? shapes(element, x, y) : [];
    return [...grounds(element), ...drawn].reduce((c, [top, alpha]) => over(top, c, top[3] * alpha), [255, 255, 255]);
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let seen = 0;
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement, text = walker.currentNode.textContent.trim();
    if (!text || element.closest("title, style, .hide") || !element.checkVisibility()) continue;
    const range = document.createRange();
    range.selectNodeContents(walker.currentNode);
    const box = range.getClientRects()[0];
    if (!box || !box.width) continue;
    seen++;
    const style = getComputedStyle(element), x = box.x + box.width / 2, y = box.y + box.height / 2;
    const below = beneath(element, x, y), own = rgba(element instanceof SVGElement ? style.fill : style.color);
    const [dark, bright] = [light(below), light(over(own, below, own[3]))].sort((a, b) => a - b);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    const ratio = (bright + 0.05) / (dark + 0.05);
    if (ratio < (large ? 3 : 4.5)) found.push(`${text.slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return { seen, found };
}
