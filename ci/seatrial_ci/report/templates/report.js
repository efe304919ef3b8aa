"use strict";
// A chart that has the pointer or the focus says what its nearest point is, and zooms: drag over what you want to see,
// Ctrl and wheel, the buttons, or + and -; arrow keys go from point to point; 0, Escape or a double click show all.
(() => {
  const NS = "http://www.w3.org/2000/svg";
  const MOST_ZOOM = 400;
  const live = document.getElementById("live");
  // As in axes.py; a test holds the two against each other.
  const STEPS = {
    ns: [[1e9, "s"], [1e6, "ms"], [1e3, "us"], [1, "ns"]],
    bytes: [[1e9, "GB"], [1e6, "MB"], [1e3, "kB"], [1, "B"]],
    relative: [[0.01, "%"]], share: [[0.01, "%"]], s: [[1, "s"]], min: [[1, "min"]], W: [[1, "W"], [1e-3, "mW"]],
    "°C": [[1, "°C"]], MHz: [[1e3, "GHz"], [1, "MHz"]], "": [[1, ""]],
  };
  const make = (name, attributes, parent) => {
    const element = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (parent) parent.append(element);
    return element;
  };
  const ticks = (low, high, whole) => {
    const raw = (high - low) / 6;
    if (!(raw > 0) || !Number.isFinite(raw)) return [low];
    const size = 10 ** Math.floor(Math.log10(raw));
    let step = [1, 2, 5, 10].map((m) => m * size).find((s) => s >= raw) ?? 10 * size;
    if (whole) step = Math.max(step, 1);
    const found = [];
    for (let i = Math.ceil(low / step); i <= Math.floor(high / step + 1e-9); i++) found.push(i * step);
    return found.length ? found : [low];
  };
  const written = (value, unit, step, largest) => {
    const [size, name] = STEPS[unit].find(([s]) => largest >= s) ?? STEPS[unit].at(-1);
    const exponent = step > 0 ? Math.floor(Math.log10(step / size) + 1e-9) : 0;
    const places = Math.min(9, Math.max(0, -exponent));
    const number = value / size;
    const text = Math.abs(number).toFixed(places);
    const sign = Number(text) === 0 ? "" : number < 0 ? "-" : unit === "relative" ? "+" : "";
    return `${sign}${text} ${name}`.trim();
  };
  window.seatrialTicks = (low, high, unit, whole) => {
    const found = ticks(low, high, whole);
    const step = found.length > 1 ? found[1] - found[0] : Math.abs(high - low) || 1;
    return found.map((v) => [v, written(v, unit, step, Math.max(Math.abs(low), Math.abs(high)))]);
  };
  const charts = [];

  const chart = (svg) => {
    const axes = JSON.parse(svg.dataset.axes);
    const plot = svg.querySelector("svg.plot");
    const get = (name) => Number(plot.getAttribute(name));
    const [left, top, width, height] = ["x", "y", "width", "height"].map(get);
    const glass = svg.querySelector(".frame"); // lies over the plot, and takes the pointer once this script is there
    svg.classList.add("live");
    const tickGroup = svg.querySelector(".ticks");
    let view = [0, 0, width, height]; // of the plot's own coordinates: x, y, width, height
    let current = -1;
    const value = (axis, place) => axis[0] + place * (axis[1] - axis[0]);
    const xAt = (px) => value(axes.x, px / width);
    const yAt = (py) => value(axes.y, 1 - py / height);
    const points = [...plot.querySelectorAll(".dot")].map((dot) => {
      const title = dot.querySelector("title");
      const [x, y] = (dot.classList.contains("beyond") ? dot.getAttribute("d").split("L")[1] : dot.getAttribute("d").slice(1)).split(/[,h]/).map(Number);
      const text = title.textContent;
      title.remove(); // else the browser shows a second tooltip
      return { x, y, text, dot };
    });
    const dots = points.slice();
    for (const line of plot.querySelectorAll(".line")) {
      const name = [...line.classList].find((c) => c !== "line");
      let y = 0;
      for (const [, kind, numbers] of line.getAttribute("d").matchAll(/([MLHV])([^MLHV]*)/g)) {
        const [first, second] = numbers.split(",").map(Number);
        if (kind === "V") points.at(-1).y = y = first;
        else points.push({ x: first, y: (y = second ?? y), name });
      }
    }
    const describe = (p) => {
      if (p.text) return p.text;
      const say = (axis, v) => written(v, axis[2], Math.abs(axis[1] - axis[0]) / 500, Math.max(Math.abs(axis[0]), Math.abs(axis[1])));
      return `${say(axes.x, xAt(p.x))}: ${say(axes.y, yAt(p.y))}`;
    };
    const tip = make("g", { class: "tip", visibility: "hidden" }, svg);
    const box = make("rect", { rx: 3, height: 20 }, tip);
    const words = make("text", { x: 6, y: 14 }, tip);
    const out = (p) => [left + ((p.x - view[0]) / view[2]) * width, top + ((p.y - view[1]) / view[3]) * height];
    const show = (index, say) => {
      if (current >= 0) points[current].dot?.classList.remove("near");
      current = index;
      if (index < 0) { tip.setAttribute("visibility", "hidden"); return; }
      const point = points[index];
      point.dot?.classList.add("near");
      words.textContent = describe(point);
      const [x, y] = out(point);
      const long = words.getComputedTextLength() + 12;
      const at = Math.max(0, Math.min(x + 10, left + width - long));
      tip.setAttribute("transform", `translate(${at} ${y - 30 < 0 ? y + 12 : y - 30})`);
      box.setAttribute("width", long);
      tip.setAttribute("visibility", "visible");
      if (say) live.textContent = words.textContent;
    };
    const names = [...svg.querySelectorAll("text.name")].map((text) => {
      const [x, y] = [Number(text.dataset.x), Number(text.dataset.y)];
      return { text, x, y, dx: Number(text.getAttribute("x")) - left - x, dy: Number(text.getAttribute("y")) - top - y };
    });
    const relabel = () => {
      for (const name of names) {
        const [x, y] = out(name);
        name.text.setAttribute("x", x + name.dx);
        name.text.setAttribute("y", y + name.dy);
        const within = x >= left && x <= left + width && y >= top && y <= top + height;
        name.text.setAttribute("visibility", within ? "visible" : "hidden");
      }
      tickGroup.replaceChildren();
      const [x0, x1] = [xAt(view[0]), xAt(view[0] + view[2])];
      const [y0, y1] = [yAt(view[1] + view[3]), yAt(view[1])];
      for (const [v, text] of window.seatrialTicks(y0, y1, axes.y[2], axes.y[3])) {
        const y = top + height * (1 - (v - y0) / (y1 - y0 || 1));
        make("path", { class: "grid", d: `M${left},${y}h${width}` }, tickGroup);
        make("text", { x: left - 7, y: y + 4, "text-anchor": "end" }, tickGroup).textContent = text;
      }
      for (const [v, text] of window.seatrialTicks(x0, x1, axes.x[2], axes.x[3])) {
        const x = left + (width * (v - x0)) / (x1 - x0 || 1);
        make("path", { class: "grid", d: `M${x},${top + height}v5` }, tickGroup);
        make("text", { x, y: top + height + 17, "text-anchor": "middle" }, tickGroup).textContent = text;
      }
      for (const label of svg.querySelectorAll("text.at")) {
        const y = ((1 - Number(label.dataset.place)) * height - view[1]) / view[3];
        label.setAttribute("y", top + y * height + 4);
        label.setAttribute("visibility", y >= 0 && y <= 1 ? "visible" : "hidden");
      }
    };
    const self = {
      link: svg.dataset.link,
      range: () => [xAt(view[0]), xAt(view[0] + view[2])],
      follow: ([low, high]) => {
        const px = (v) => ((v - axes.x[0]) / (axes.x[1] - axes.x[0] || 1)) * width;
        set([px(low), view[1], px(high) - px(low), view[3]], true);
      },
    };
    const set = (next, following) => {
      const w = Math.min(width, Math.max(width / MOST_ZOOM, next[2]));
      const h = Math.min(height, Math.max(height / MOST_ZOOM, next[3]));
      view = [Math.min(Math.max(next[0], 0), width - w), Math.min(Math.max(next[1], 0), height - h), w, h];
      plot.setAttribute("viewBox", view.join(" "));
      svg.classList.toggle("zoomed", w < width || h < height);
      relabel();
      show(-1);
      if (!following && self.link) charts.filter((c) => c !== self && c.link === self.link).forEach((c) => c.follow(self.range()));
    };
    const all = () => set([0, 0, width, height]);
    const zoom = (factor, x = view[0] + view[2] / 2, y = view[1] + view[3] / 2) =>
      set([x - (x - view[0]) * factor, y - (y - view[1]) * factor, view[2] * factor, view[3] * factor]);
    const inside = (event) => {
      const p = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
      return [view[0] + ((p.x - left) / width) * view[2], view[1] + ((p.y - top) / height) * view[3]];
    };
    const nearest = ([x, y]) => {
      let best = -1, least = 32 ** 2;
      points.forEach((p, i) => {
        const d = (((p.x - x) / view[2]) * width) ** 2 + (((p.y - y) / view[3]) * height) ** 2 - (p.dot ? 36 : 0);
        if (d < least) { least = d; best = i; }
      });
      return best;
    };
    let held = null, brush = null;
    glass.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      held = inside(event);
      glass.setPointerCapture(event.pointerId);
    });
    glass.addEventListener("pointermove", (event) => {
      const at = inside(event);
      if (!held) { const best = nearest(at); if (best !== current) show(best); return; }
      brush ??= make("rect", { class: "brush" }, plot);
      const tall = Math.abs(at[1] - held[1]) > 0.15 * view[3];
      brush.setAttribute("x", Math.min(at[0], held[0]));
      brush.setAttribute("width", Math.abs(at[0] - held[0]));
      brush.setAttribute("y", tall ? Math.min(at[1], held[1]) : view[1]);
      brush.setAttribute("height", tall ? Math.abs(at[1] - held[1]) : view[3]);
    });
    const release = () => {
      const chosen = brush && ["x", "y", "width", "height"].map((n) => Number(brush.getAttribute(n)));
      brush?.remove();
      held = brush = null;
      if (chosen && chosen[2] > 0.01 * view[2]) set(chosen);
    };
    glass.addEventListener("pointerup", release);
    glass.addEventListener("pointercancel", () => { brush?.remove(); held = brush = null; });
    glass.addEventListener("pointerleave", () => { if (!held) show(-1); });
    glass.addEventListener("dblclick", all);
    // A page scrolls by the wheel: only with Ctrl it zooms the chart.
    svg.addEventListener("wheel", (event) => {
      if (!event.ctrlKey) return;
      event.preventDefault();
      zoom(event.deltaY < 0 ? 0.8 : 1.25, ...inside(event));
    }, { passive: false });
    const stops = dots.length ? dots : points;
    const order = stops.map((p) => points.indexOf(p)).sort((a, b) => points[a].x - points[b].x);
    const step = (by) => {
      const at = order.indexOf(current);
      show(order[at < 0 ? (by > 0 ? 0 : order.length - 1) : Math.max(0, Math.min(at + by, order.length - 1))] ?? -1, true);
    };
    const shift = (by) => set([view[0] + by * view[2], view[1], view[2], view[3]]);
    const keys = {
      ArrowRight: (e) => (e.shiftKey ? shift(0.2) : step(1)),
      ArrowLeft: (e) => (e.shiftKey ? shift(-0.2) : step(-1)),
      Home: () => show(order[0] ?? -1, true),
      End: () => show(order.at(-1) ?? -1, true),
      "+": () => zoom(0.6), "-": () => zoom(1 / 0.6), 0: all, Escape: all,
    };
    svg.addEventListener("keydown", (event) => {
      if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
      keys[event.key](event);
      event.preventDefault();
    });
    svg.addEventListener("blur", () => show(-1));
    const tools = document.createElement("div");
    tools.className = "tools";
    tools.setAttribute("role", "group");
    tools.setAttribute("aria-label", `Zoom of: ${svg.querySelector("title").textContent}`);
    for (const [sign, name, act] of [["+", "Zoom in", () => zoom(0.6)], ["−", "Zoom out", () => zoom(1 / 0.6)], ["All", "Show all", all]]) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = sign;
      button.setAttribute("aria-label", name);
      button.addEventListener("click", act);
      tools.append(button);
    }
    if (!charts.length) {
      const hint = document.createElement("span");
      hint.textContent = "drag over a part to zoom, arrow keys read the points";
      tools.append(hint);
    }
    svg.closest("figure").append(tools);
    const title = svg.querySelector("title");
    svg.setAttribute("aria-label", title.textContent);
    svg.setAttribute("aria-describedby", svg.querySelector("desc").id);
    svg.removeAttribute("aria-labelledby");
    title.remove(); // its text is a label now, and no tooltip over the whole chart
    charts.push(self);
  };
  document.querySelectorAll("svg.outer[data-axes]").forEach(chart);

  // A link to a verdict that is folded opens it.
  const open = () => {
    const target = location.hash && document.getElementById(location.hash.slice(1));
    const folded = target && target.closest("details");
    if (folded) { folded.open = true; target.scrollIntoView(); }
  };
  window.addEventListener("hashchange", open);
  open();
})();
