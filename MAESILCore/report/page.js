"use strict";
(() => {
  const scan = JSON.parse(document.getElementById("scan").textContent);
  const find = (id) => document.getElementById(id);
  const slider = find("slider"), place = find("place"), play = find("play"), cover = find("cover"), grid = find("grid");
  const count = scan.positions.length;
  let current = scan.start, pointer = null, timer = null;

  const make = (name, className, text) => {
    const element = document.createElement(name);
    if (className) element.className = className;
    if (text) element.textContent = text;
    return element;
  };

  const channels = (colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  const darker = (colour, share) => "rgb(" + channels(colour).map((value) => Math.round(share * value)).join(",") + ")";

  // A colour table of 256 steps through evenly spaced colours.
  const colourTable = (stops) => {
    const colours = stops.map(channels);
    return Array.from({ length: 256 }, (_, level) => {
      const at = level / 255 * (colours.length - 1), first = Math.min(Math.floor(at), colours.length - 2);
      return colours[first].map((value, channel) => value + (at - first) * (colours[first + 1][channel] - value));
    });
  };

  const addScale = (legend, background, ticks, words) => {
    const ramp = make("div", "ramp");
    ramp.style.background = background;
    const ends = make("div", "ends");
    ends.append(...ticks.map((tick) => make("span", "", tick)));
    legend.append(ramp, ends, make("div", "caption", words));
  };

  const signed = (value) => (value > 0 ? "+" : value < 0 ? "\u2212" : "") + Math.abs(value);

  const describe = (panel, legend) => {
    if (panel.stops.length) {
      const isSigned = panel.low < 0;
      const ticks = isSigned ? [panel.low, 0, panel.high].map(signed) : [panel.low, panel.high].map(String);
      const words = isSigned ? scan.unit + ", reconstruction \u2212 scan" : scan.unit + ", spread over masks";
      addScale(legend, "linear-gradient(90deg, " + panel.stops.join(", ") + ")", ticks, words);
    } else if (panel.key === "masked") {
      const present = Object.keys(scan.stageColours).filter((stage) => scan.stages.some((layer) => layer.includes(stage)));
      for (const stage of present) {
        const key = make("span", "key"), swatch = make("span", "swatch"), colour = scan.stageColours[stage];
        swatch.style.background = stage === "2"
          ? "repeating-linear-gradient(135deg, " + colour + " 0 3px, " + darker(colour, .42) + " 3px 8px)"
          : darker(colour, .62);
        key.append(swatch, present.length > 1 ? "hidden, stage " + stage : "hidden");
        legend.append(key);
      }
    }
  };

  const panels = scan.panels.map((panel, number) => {
    const figure = make("figure"), frame = make("div", "frame"), canvas = make("canvas"), legend = make("div", "legend");
    canvas.setAttribute("role", "img");
    figure.append(make("figcaption", "", panel.title), frame, legend);
    frame.append(canvas);
    if (number === 0) {
      for (const letter of ["R", "L", "A", "P"]) frame.append(make("span", "letter " + letter.toLowerCase(), letter));
      const length = [200, 100, 50, 20, 10].find((mm) => mm < 0.35 * scan.widthMm) || 5;
      const ruler = make("span", "ruler", length / 10 + " cm");
      ruler.style.width = 100 * length / scan.widthMm + "%";
      frame.append(ruler);
    }
    describe(panel, legend);
    find("panels").append(figure);
    return { ...panel, canvas, frame, table: panel.stops.length ? colourTable(panel.stops) : null, cache: new Map() };
  });
  find("panels").style.setProperty("--columns", panels.length);

  const coloured = (picture, table) => {
    const canvas = make("canvas"), context = canvas.getContext("2d");
    canvas.width = scan.width;
    canvas.height = scan.height;
    context.drawImage(picture, 0, 0, scan.width, scan.height);
    const pixels = context.getImageData(0, 0, scan.width, scan.height), data = pixels.data;
    for (let at = 0; at < data.length; at += 4) {
      const colour = table[data[at]];
      data[at] = colour[0];
      data[at + 1] = colour[1];
      data[at + 2] = colour[2];
    }
    context.putImageData(pixels, 0, 0);
    return canvas;
  };

  // Pictures are decoded when they are first shown; a canvas or image once it is ready, null before.
  const picture = (panel, slice) => {
    if (!panel.cache.has(slice)) {
      panel.cache.set(slice, null);
      const image = new Image();
      image.onload = () => {
        panel.cache.set(slice, panel.table ? coloured(image, panel.table) : image);
        if (slice === current) draw();
      };
      image.src = "data:image/jpeg;base64," + panel.pictures[slice];
    }
    return panel.cache.get(slice);
  };

  const stripes = (context, colour, ratio) => {
    const tile = make("canvas"), size = Math.round(8 * ratio), pen = tile.getContext("2d");
    tile.width = tile.height = size;
    pen.fillStyle = darker(colour, .42);
    pen.fillRect(0, 0, size, size);
    pen.strokeStyle = colour;
    pen.lineWidth = size * 0.28;
    pen.beginPath();
    for (const shift of [-size, 0, size]) {
      pen.moveTo(shift - 1, size + 1);
      pen.lineTo(shift + size + 1, -1);
    }
    pen.stroke();
    return context.createPattern(tile, "repeat");
  };

  const drawMask = (context, width, height, ratio) => {
    const layer = scan.stages[scan.layers[current]], columns = scan.columnEdges.length - 1;
    const fills = {};
    for (const [stage, colour] of Object.entries(scan.stageColours)) {
      fills[stage] = stage === "2" ? stripes(context, colour, ratio) : darker(colour, .62);
    }
    for (let cell = 0; cell < layer.length; cell += 1) {
      const stage = layer[cell];
      if (stage === "0") continue;
      const row = Math.floor(cell / columns), column = cell % columns;
      const x = Math.round(scan.columnEdges[column] * width), y = Math.round(scan.rowEdges[row] * height);
      const right = Math.round(scan.columnEdges[column + 1] * width), bottom = Math.round(scan.rowEdges[row + 1] * height);
      if (cover.checked) {
        context.fillStyle = fills[stage];
        context.fillRect(x, y, right - x, bottom - y);
      } else {
        context.strokeStyle = scan.stageColours[stage];
        context.lineWidth = ratio;
        context.setLineDash(stage === "2" ? [2 * ratio, 2 * ratio] : []);
        context.strokeRect(x + ratio, y + ratio, right - x - 2 * ratio, bottom - y - 2 * ratio);
      }
    }
    context.setLineDash([]);
  };

  const drawLines = (context, width, height, ratio) => {
    context.strokeStyle = "rgba(255, 255, 255, .75)";
    context.lineWidth = ratio;
    context.setLineDash([2 * ratio, 3 * ratio]);
    context.beginPath();
    for (const share of scan.superpatchRows) {
      context.moveTo(0, share * height);
      context.lineTo(width, share * height);
    }
    for (const share of scan.superpatchColumns) {
      context.moveTo(share * width, 0);
      context.lineTo(share * width, height);
    }
    context.stroke();
    context.setLineDash([]);
  };

  const drawPointer = (context, width, height, ratio) => {
    const x = pointer.x * width, y = pointer.y * height, gap = 7 * ratio, arm = 16 * ratio;
    context.strokeStyle = "#ffd166";
    context.lineWidth = 1.4 * ratio;
    context.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      context.moveTo(x + dx * gap, y + dy * gap);
      context.lineTo(x + dx * arm, y + dy * arm);
    }
    context.stroke();
  };

  const drawPanel = (panel) => {
    const ratio = window.devicePixelRatio || 1, width = Math.round(panel.frame.clientWidth * ratio);
    const height = Math.round(width * scan.heightMm / scan.widthMm), canvas = panel.canvas;
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    const context = canvas.getContext("2d"), shown = picture(panel.pictures.length ? panel : panels[0], current);
    if (!shown) return;
    context.imageSmoothingQuality = "high";
    context.drawImage(shown, 0, 0, width, height);
    if (panel.key === "masked") drawMask(context, width, height, ratio);
    if (grid.checked && (panel.key === "masked" || panel.key === "original")) drawLines(context, width, height, ratio);
    if (pointer) drawPointer(context, width, height, ratio);
    canvas.setAttribute("aria-label", panel.title + ", slice " + (current + 1) + " of " + count);
  };

  const draw = () => {
    panels.forEach(drawPanel);
    const height = scan.positions[current];
    const words = "Slice " + (current + 1) + " of " + count + " \u00b7 " + (height < 0 ? "I " : "S ") + Math.abs(height).toFixed(1) + " mm";
    place.textContent = words;
    slider.setAttribute("aria-valuetext", words);
  };

  const show = (slice) => {
    current = Math.max(0, Math.min(count - 1, slice));
    slider.value = String(current);
    draw();
    // The neighbours are likely to come next.
    for (const next of [current - 2, current - 1, current + 1, current + 2]) {
      if (next >= 0 && next < count) panels.forEach((panel) => panel.pictures.length && picture(panel, next));
    }
  };

  const setPlaying = (isPlaying) => {
    window.clearInterval(timer);
    timer = isPlaying ? window.setInterval(() => show((current + 1) % count), 90) : null;
    play.textContent = isPlaying ? "Pause" : "Play";
    play.setAttribute("aria-pressed", String(isPlaying));
  };

  const steps = { ArrowUp: -1, ArrowLeft: -1, ArrowDown: 1, ArrowRight: 1, PageUp: -10, PageDown: 10 };
  document.addEventListener("keydown", (event) => {
    if (!(event.key in steps) || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.target.closest(".scroll, summary")) return;
    event.preventDefault();
    show(current + steps[event.key]);
  });
  find("panels").addEventListener("wheel", (event) => {
    if (event.ctrlKey || event.deltaY === 0) return;
    event.preventDefault();
    show(current + Math.sign(event.deltaY));
  }, { passive: false });
  for (const panel of panels) {
    panel.frame.addEventListener("pointermove", (event) => {
      const box = panel.frame.getBoundingClientRect();
      pointer = { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height };
      draw();
    });
    panel.frame.addEventListener("pointerleave", () => { pointer = null; draw(); });
  }
  slider.max = String(count - 1);
  slider.addEventListener("input", () => show(Number(slider.value)));
  play.addEventListener("click", () => setPlaying(timer === null));
  cover.addEventListener("change", draw);
  grid.addEventListener("change", draw);
  new ResizeObserver(draw).observe(find("panels"));
  show(current);
})();
