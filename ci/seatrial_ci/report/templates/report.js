"use strict";
// Hover or arrow keys: what a point says. Wheel, drag, + and -: zoom along both axes. 0, Escape or a double click: all.
(() => {
  const NS = "http://www.w3.org/2000/svg";
  const live = document.getElementById("live");
  const make = (name, attributes) => {
    const element = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  for (const svg of document.querySelectorAll("figure svg")) {
    const whole = svg.getAttribute("viewBox").split(" ").map(Number);
    let view = whole.slice();
    let current = -1;
    const points = [...svg.querySelectorAll("circle")].filter((c) => c.querySelector("title"));
    const places = points.map((c) => [Number(c.getAttribute("cx")), Number(c.getAttribute("cy"))]);
    const texts = points.map((c) => c.querySelector("title").textContent);
    for (const c of points) c.querySelector("title").remove(); // else the browser shows a second tooltip
    points.forEach((c, i) => c.setAttribute("aria-label", texts[i]));
    const tip = make("g", { class: "tip", visibility: "hidden" });
    const box = make("rect", { rx: 3, height: 20 });
    const words = make("text", { y: 14 });
    tip.append(box, words);
    svg.append(tip);
    const inside = (event) => {
      const p = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
      return [p.x, p.y];
    };
    const show = (index, say) => {
      if (current >= 0) points[current].classList.remove("near");
      current = index;
      if (index < 0) { tip.setAttribute("visibility", "hidden"); return; }
      points[index].classList.add("near");
      words.textContent = texts[index];
      const width = words.getComputedTextLength() + 12;
      const [x, y] = places[index];
      const left = Math.max(view[0], Math.min(x + 8, view[0] + view[2] - width));
      const top = y - 28 < view[1] ? y + 10 : y - 28;
      tip.setAttribute("transform", `translate(${left} ${top})`);
      box.setAttribute("width", width);
      words.setAttribute("x", 6);
      tip.setAttribute("visibility", "visible");
      if (say) live.textContent = texts[index];
    };
    const look = (next) => {
      view = next;
      svg.setAttribute("viewBox", view.join(" "));
      svg.classList.toggle("zoomed", view[2] < whole[2]);
    };
    const zoom = (factor, [x, y]) => {
      const width = Math.min(whole[2], Math.max(whole[2] / 50, view[2] * factor));
      const scale = width / view[2];
      const height = view[3] * scale;
      const within = (v, low, size, total) => Math.min(Math.max(v, low), low + total - size);
      look([
        within(x - (x - view[0]) * scale, whole[0], width, whole[2]),
        within(y - (y - view[1]) * scale, whole[1], height, whole[3]),
        width, height,
      ]);
    };
    const pan = (dx, dy) => look([
      Math.min(Math.max(view[0] + dx, whole[0]), whole[0] + whole[2] - view[2]),
      Math.min(Math.max(view[1] + dy, whole[1]), whole[1] + whole[3] - view[3]),
      view[2], view[3],
    ]);
    let held = null;
    svg.addEventListener("pointermove", (event) => {
      const [x, y] = inside(event);
      if (held) { pan(held[0] - x, held[1] - y); return; }
      let best = -1, least = (24 * view[2] / whole[2]) ** 2;
      places.forEach(([px, py], i) => {
        const d = (px - x) ** 2 + (py - y) ** 2;
        if (d < least) { least = d; best = i; }
      });
      if (best !== current) show(best, false);
    });
    svg.addEventListener("pointerleave", () => { if (!held) show(-1, false); });
    svg.addEventListener("pointerdown", (event) => {
      if (view[2] < whole[2]) { held = inside(event); svg.setPointerCapture(event.pointerId); }
    });
    svg.addEventListener("pointerup", () => { held = null; });
    // A page scrolls by the wheel: only with Ctrl, or once zoomed, it zooms the chart.
    svg.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && view[2] === whole[2]) return;
      event.preventDefault();
      zoom(event.deltaY < 0 ? 0.8 : 1.25, inside(event));
    }, { passive: false });
    svg.addEventListener("dblclick", (event) => (view[2] < whole[2] ? look(whole.slice()) : zoom(0.4, inside(event))));
    svg.addEventListener("keydown", (event) => {
      const order = places.map((p, i) => i).sort((a, b) => places[a][0] - places[b][0]);
      const at = order.indexOf(current);
      const middle = current >= 0 ? places[current] : [view[0] + view[2] / 2, view[1] + view[3] / 2];
      const acts = {
        ArrowRight: () => show(order[Math.min(at + 1, order.length - 1)] ?? -1, true),
        ArrowLeft: () => show(order[Math.max(at - 1, 0)] ?? -1, true),
        "+": () => zoom(0.8, middle),
        "-": () => zoom(1.25, middle),
        0: () => look(whole.slice()),
        Escape: () => { look(whole.slice()); show(-1, false); },
      };
      if (acts[event.key]) { acts[event.key](); event.preventDefault(); }
    });
  }
})();
