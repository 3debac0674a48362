// The flicker video: one mosaic is decoded, and every system's canvas takes its rectangle of the same picture.

function startPlayer() {
  const video = element("video", { "aria-hidden": "true", tabindex: "-1" });
  const stage = find("#stage");
  const mosaic = element("canvas");
  const tiles = data.video.tiles;
  const panels = tiles.map((views, index) => (views ? panel(stage, index, views.overlay) : null));
  const scrub = find("#scrub");
  const exact = "requestVideoFrameCallback" in HTMLVideoElement.prototype;
  let view = "overlay";
  let late = 0; // the timer of a second look
  let pending = null; // a frame asked for while the video still looks for another one

  video.muted = video.playsInline = true;
  video.preload = "auto";
  video.src = URL.createObjectURL(decoded());
  stage.append(video);
  scrub.max = last;

  function panel(parent, index, [, , width, height]) {
    const figure = element("figure", { class: `run-${data.systems[index].hue}` }, parent);
    const canvas = element("canvas", { width, height, role: "img", "aria-label": data.systems[index].name }, figure);
    canvas.addEventListener("click", toggle);
    const caption = element("figcaption", {}, figure);
    caption.append(find(`#comparison tr[data-system="${index}"] .key`).cloneNode(true));
    element("span", { title: data.systems[index].name }, caption, data.systems[index].name);
    return { figure, canvas, numbers: element("small", { "aria-hidden": "true" }, caption) };
  }

  // As large as they can be while all of them are on the screen at once; but never so small that flicker is not seen.
  function fit() {
    const gap = 14;
    const under = 52; // the caption
    const count = panels.filter((panel, index) => panel && shown[index]).length;
    const [, , width, height] = tiles.find(Boolean).overlay;
    const least = Math.min(300, stage.clientWidth);
    let crowded = { columns: 1, tile: stage.clientWidth };
    let best = { columns: 1, tile: 0 };
    for (let columns = 1; columns <= count; columns++) {
      const room = (stage.clientWidth - (columns - 1) * gap) / columns;
      const rows = Math.ceil(count / columns);
      const tile = Math.min(room, ((0.74 * innerHeight) / rows - under - gap) * (width / height));
      if (room >= least) crowded = { columns, tile: room };
      if (tile > best.tile) best = { columns, tile };
    }
    if (best.tile < least) best = crowded;
    stage.style.setProperty("--columns", best.columns);
    stage.style.setProperty("--tile", `${Math.floor(best.tile)}px`);
  }

  // The picture is taken from the video once: while it plays, a second look may already meet the next frame.
  function draw() {
    if (video.readyState > 1) mosaic.getContext("2d", { alpha: false }).drawImage(video, 0, 0);
    panels.forEach((panel, index) => {
      if (!panel || !shown[index]) return;
      const [x, y, width, height] = tiles[index][view];
      panel.canvas.getContext("2d").drawImage(mosaic, x, y, width, height, 0, 0, width, height);
    });
  }

  function showAt(seconds, epsilon) {
    const index = Math.min(last, Math.floor(seconds * data.fps + epsilon));
    draw();
    if (!video.paused && !video.seeking && pending === null) moveTo(index); // else a late picture of an earlier seek
    stage.dataset.frame = index;
  }

  // Frames are told apart by the time stamp of the picture itself where the browser gives it.
  function follow() {
    if (exact) {
      video.requestVideoFrameCallback((_, picture) => {
        showAt(picture.mediaTime, 0.5);
        follow();
      });
    } else if (!video.paused) {
      showAt(video.currentTime, 0.01);
      requestAnimationFrame(follow);
    }
  }

  seek = (index) => {
    moveTo(index);
    if (video.seeking || video.readyState === 0) {
      pending = frame;
      return;
    }
    pending = null;
    video.currentTime = (frame + 0.5) / data.fps; // the middle of a frame is never its neighbour
  };

  // Under load the picture may arrive a while after the event that announces it, and its callback be missed.
  function lookAgain(delay, ...later) {
    late = setTimeout(() => {
      if (video.seeking || !video.paused) return;
      draw();
      if (later.length) lookAgain(...later);
      else stage.dataset.frame = frame;
    }, delay);
  }

  function toggle() {
    if (video.paused) video.play().catch(showState); // refused, or interrupted by a pause
    else video.pause();
  }

  function showState() {
    const playing = !video.paused;
    video.loop = playing; // a looping video that stands still jumps to its start when the last frame is sought
    find("#toggle").setAttribute("aria-label", playing ? "Pause" : "Play");
    find("#toggle use").setAttribute("href", playing ? "#pause" : "#play");
  }

  video.addEventListener("loadeddata", () => {
    mosaic.width = video.videoWidth;
    mosaic.height = video.videoHeight;
    seek(pending ?? frame);
  });
  video.addEventListener("seeked", () => {
    if (pending !== null) {
      seek(pending);
      return;
    }
    draw();
    clearTimeout(late);
    lookAgain(80, 160, 480);
  });
  video.addEventListener("play", () => {
    showState();
    if (!exact) follow();
  });
  video.addEventListener("pause", () => {
    showState();
    seek(frame);
  });
  video.addEventListener("error", () => {
    stage.replaceChildren(element("p", { class: "note" }, null, "This browser cannot play the video (H.264)."));
    find("#controls").hidden = true;
  });
  if (exact) follow();

  find("#toggle").addEventListener("click", toggle);
  find("#step-back").addEventListener("click", () => step(-1));
  find("#step-on").addEventListener("click", () => step(1));
  find("#speed").addEventListener("change", (event) => (video.playbackRate = Number(event.target.value)));
  scrub.addEventListener("input", () => seek(Number(scrub.value)));
  for (const choice of findAll("[name=view]")) {
    choice.checked = choice.value === view;
    choice.addEventListener("change", () => {
      view = choice.value;
      draw();
    });
  }

  function step(by) {
    video.pause();
    seek(frame + by);
  }

  whenShownChanges.push(() => {
    panels.forEach((panel, index) => panel && (panel.figure.hidden = !shown[index]));
    fit();
    draw();
  });
  whenFrameChanges.push(() => {
    scrub.value = frame;
    scrub.setAttribute("aria-valuetext", `frame ${frame + 1}`);
    find("#frame-number").textContent = `${frame + 1} / ${data.frames.length}`;
    find("#frame-time").textContent = `${(frame / data.fps).toFixed(2)} s`;
    find("#frame-name").textContent = data.frames[frame];
    find("#frame-name").title = data.frames[frame];
    panels.forEach((panel, index) => panel && (panel.numbers.textContent = live(index)));
  });
  listenToKeys(toggle, step);
  new ResizeObserver(fit).observe(stage);
  moveTo(frame);
}

// The numbers of this frame and the next, under a system's picture.
function live(index) {
  return data.curves
    .filter((curve) => data.systems[index].pairs[curve.key].length)
    .map((curve) => `${curve.heading.toLowerCase()} ${written(data.systems[index].pairs[curve.key][frame])}`)
    .join(" · ");
}

// Keys act while the player is on the screen, and leave alone whatever has a use of its own for them.
function listenToKeys(toggle, step) {
  let visible = false;
  new IntersectionObserver(([entry]) => (visible = entry.isIntersecting)).observe(find("#player"));
  document.addEventListener("keydown", (event) => {
    const target = event.target;
    const own = target.closest("input:not(#scrub), select, textarea, summary, a, pre, .scroll");
    if (!visible || own || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " " && target.closest("button")) return;
    const by = event.shiftKey ? 10 : 1;
    const acts = {
      " ": toggle,
      ArrowLeft: () => step(-by),
      ArrowRight: () => step(by),
      Home: () => step(-data.frames.length),
      End: () => step(data.frames.length),
    };
    if (!acts[event.key]) return;
    event.preventDefault();
    acts[event.key]();
  });
}

function decoded() {
  const coded = atob(find("#video-data").textContent);
  const bytes = new Uint8Array(coded.length);
  for (let i = 0; i < coded.length; i++) bytes[i] = coded.charCodeAt(i);
  return new Blob([bytes], { type: "video/mp4" });
}

if (data.video) startPlayer();
