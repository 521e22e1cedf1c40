// Measures the boxes of what is on the screen, and says what a person would trip over: text over text, a line through a figure, a
// value that is cut off, a word broken in two, a part that scrolls sideways, markup that is read aloud. Tables are painted on a canvas, which has no boxes.
(() => {
  const SLACK = 1.5; // pixels by which fonts and rounding differ
  const MAY_SLIDE = ".dvn-scroller, [role=region][tabindex='0'], [class*=st-key-least_]"; // wide tables and pictures, on a small screen
  const MARKUP = /:[a-z]+(-[a-z]+)*\[|\*\*|:material\/| icon$/;
  const said = (text) => text.trim().replace(/\s+/g, " ").slice(0, 60);
  const where = (element) => {
    const at = element.closest("[data-testid]"), key = element.closest("[class*=st-key-]");
    const name = key && [...key.classList].find((each) => each.startsWith("st-key-"));
    return [name, at && at.dataset.testid].filter(Boolean).join(" ") || element.tagName;
  };

  // whether anything between an element and the page hides it from everybody's eyes
  const shown = (element) => {
    if (!element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) return false;
    for (let at = element; at && at !== document.body; at = at.parentElement) {
      const box = at.getBoundingClientRect();
      const style = getComputedStyle(at);
      if (style.clip === "rect(0px, 0px, 0px, 0px)" || style.clipPath === "inset(50%)") return false;
      if (style.overflow !== "visible" && style.display !== "contents" && (box.width <= 1 || box.height <= 1)) return false;
    }
    return true;
  };

  // the four corners of a piece of text, turned as it is turned
  const ofBox = (box) => [[box.left, box.top], [box.right, box.top], [box.right, box.bottom], [box.left, box.bottom]];
  const ofSvg = (text) => {
    const box = text.getBBox(), to = text.getScreenCTM();
    return ofBox({ left: box.x, top: box.y, right: box.x + box.width, bottom: box.y + box.height }).map(([x, y]) => [
      to.a * x + to.c * y + to.e,
      to.b * x + to.d * y + to.f,
    ]);
  };
  const flat = (corners) => {
    const xs = corners.map(([x]) => x), ys = corners.map(([, y]) => y);
    return { left: Math.min(...xs), right: Math.max(...xs), top: Math.min(...ys), bottom: Math.max(...ys) };
  };
  // how deep two convex quadrilaterals lie in each other: the least shift that parts them
  const depth = (one, two) => {
    let least = Infinity;
    for (const corners of [one, two]) {
      for (let i = 0; i < 4; i++) {
        const [x, y] = corners[i], [u, v] = corners[(i + 1) % 4], length = Math.hypot(u - x, v - y);
        if (!length) return 0;
        const along = (all) => all.map(([p, q]) => (p * (v - y) - q * (u - x)) / length);
        const a = along(one), b = along(two);
        least = Math.min(least, Math.max(...a) - Math.min(...b), Math.max(...b) - Math.min(...a));
        if (least <= 0) return 0;
      }
    }
    return least;
  };

  const pieces = (root) => {
    const found = [];
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const element = node.parentElement;
      if (!node.data.trim() || element.closest("style, script, svg, canvas, [role=tooltip]") || !shown(element)) continue;
      const range = document.createRange();
      range.selectNodeContents(node);
      for (const box of range.getClientRects()) {
        if (box.width > 1 && box.height > 1) found.push({ element, node, text: said(node.data), corners: ofBox(box) });
      }
    }
    for (const element of root.querySelectorAll("svg text")) {
      if (!element.textContent.trim() || !shown(element) || element.closest(".hoverlayer")) continue;
      found.push({ element, text: said(element.textContent), corners: ofSvg(element), svg: element.ownerSVGElement });
    }
    return found.map((piece) => ({ ...piece, box: flat(piece.corners) }));
  };

  // the part of a piece that ancestors let through, from left to right; null where one of them scrolls it out of sight
  const clipped = (piece, root) => {
    let { left, right, top, bottom } = piece.box;
    for (let at = piece.element; at && at !== root; at = at.parentElement) {
      const style = getComputedStyle(at);
      if (style.overflowX === "visible" && style.overflowY === "visible") continue;
      const box = at.getBoundingClientRect();
      if (style.overflowX !== "visible") [left, right] = [Math.max(left, box.left), Math.min(right, box.right)];
      if (style.overflowY !== "visible") [top, bottom] = [Math.max(top, box.top), Math.min(bottom, box.bottom)];
    }
    return { left, right, top, bottom };
  };
  const scrolls = (element, root) => {
    for (let at = element; at && at !== root; at = at.parentElement) {
      if (["auto", "scroll"].includes(getComputedStyle(at).overflowX) && at.scrollWidth > at.clientWidth + SLACK) return true;
    }
    return false;
  };

  const cut = (piece, root) => {
    if (scrolls(piece.element, root)) return false; // told as what scrolls sideways
    const seen = clipped(piece, root);
    if (seen.bottom <= seen.top) return false; // scrolled out of a box that scrolls downwards
    return seen.left > piece.box.left + SLACK || seen.right < piece.box.right - SLACK;
  };
  const broken = (piece) => {
    if (!piece.node || piece.element.closest("code, pre, [class*=monospace]")) return "";
    const range = document.createRange();
    for (const { 0: word, index } of piece.node.data.matchAll(/\p{L}{2,}/gu)) {
      if (word.length > 24) continue;
      range.setStart(piece.node, index);
      range.setEnd(piece.node, index + word.length);
      const lines = new Set([...range.getClientRects()].filter((box) => box.width > 0.5).map((box) => Math.round(box.top / 4)));
      if (lines.size > 1) return word;
    }
    return "";
  };

  window.boxFaults = ({ wide = 0 } = {}) => {
    const faults = [];
    const tell = (kind, element, what) => faults.push(`${kind}: ${what} (${where(element)})`);
    for (const root of document.querySelectorAll("[data-testid=stMain], [data-testid=stSidebar]")) {
      if (!shown(root) || root.getBoundingClientRect().right <= 0) continue;
      for (const element of [root, ...root.querySelectorAll("*")]) {
        if (element.closest("svg") || (innerWidth < wide && element.closest(MAY_SLIDE))) continue;
        if (!["auto", "scroll"].includes(getComputedStyle(element).overflowX) || element.tagName === "TEXTAREA") continue;
        const over = element.scrollWidth - element.clientWidth;
        if (over > SLACK && element.clientWidth > 1 && shown(element)) tell("scrolls sideways", element, `a part, by ${over} px: ${said(element.textContent)}`);
      }
      for (const field of root.querySelectorAll("input:not([type=file])")) {
        const over = field.scrollWidth - field.clientWidth;
        if (innerWidth < wide && field.closest("[data-testid=stSelectbox]")) continue; // its list shows a long name whole
        if (shown(field) && field.clientWidth > 20 && over > SLACK && field.value) tell("cut", field, `“${field.value}” in its field`);
      }
      for (const element of root.querySelectorAll("[aria-label], [alt], [title]")) {
        for (const name of ["aria-label", "alt", "title"]) {
          const words = element.getAttribute(name) || "";
          if (MARKUP.test(words) && shown(element)) tell("heard", element, `“${said(words)}”`);
        }
      }
      for (const chart of root.querySelectorAll("[data-testid=stPlotlyChart]")) {
        if (!chart.getAttribute("aria-label")) tell("heard", chart, "a chart without a name");
      }
      const all = pieces(root);
      for (const piece of all) {
        if (cut(piece, root)) tell("cut", piece.element, `“${piece.text}”`);
        const half = broken(piece);
        if (half) tell("broken", piece.element, `“${half}” in “${piece.text}”`);
      }
      const seen = all
        .map((piece) => ({ ...piece, seen: clipped(piece, root) }))
        .filter(({ seen }) => seen.right - seen.left > 1 && seen.bottom - seen.top > 1)
        .sort((a, b) => a.box.top - b.box.top);
      seen.forEach((one, i) => {
        for (let j = i + 1; j < seen.length && seen[j].box.top < one.box.bottom; j++) {
          const two = seen[j];
          if (one.element === two.element || one.element.contains(two.element) || two.element.contains(one.element)) continue;
          if (depth(one.corners, two.corners) > 2 * SLACK) tell("overlap", one.element, `“${one.text}” and “${two.text}”`);
        }
      });
      for (const line of root.querySelectorAll(".shapelayer path")) {
        const box = line.getBoundingClientRect();
        if (!shown(line) || Math.min(box.width, box.height) > 4) continue;
        for (const piece of seen) {
          if (piece.svg?.closest(".js-plotly-plot") !== line.closest(".js-plotly-plot") || !piece.element.closest(".annotation, .textpoint")) continue;
          const plate = piece.element.closest(".annotation")?.querySelector("rect.bg");
          if (plate && Number(plate.style.fillOpacity || 0) > 0.6 && plate.style.fill !== "none") continue;
          // a line at the edge of a text touches the space before its first letter
          const { left, right, top, bottom } = piece.box;
          const room = { left: left + SLACK, right: right - SLACK, top: top + 2, bottom: bottom - 2 };
          const over = Math.min(box.right, room.right) >= Math.max(box.left, room.left) && Math.min(box.bottom, room.bottom) >= Math.max(box.top, room.top);
          if (over) tell("struck", piece.element, `“${piece.text}” by a line`);
        }
      }
    }
    return [...new Set(faults)];
  };
})();
