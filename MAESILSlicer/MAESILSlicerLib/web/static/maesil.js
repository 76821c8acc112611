// Uploads by button and by drop, clicks in the plot, and the key that ends picking. The template does the rest.
(function () {
  "use strict";

  const MOST_FILES = 5000;

  function status(text, isError) {
    const line = document.getElementById("upload-status");
    line.textContent = text;
    line.classList.toggle("error", Boolean(isError));
  }

  // `files`: pairs of a relative path and a File.
  // `place`: the route, "upload" for scans, "labels" for a label map, "outlines" for labels to learn from.
  function send(files, place) {
    if (!files.length || !maesil.mayChange()) {
      return;
    }
    if (files.length > MOST_FILES) {
      status(`The upload has more than ${MOST_FILES} files; upload one series at a time.`, true);
      return;
    }
    const form = new FormData();
    files.forEach(([path, file]) => form.append("file", file, path));
    const request = new XMLHttpRequest();
    request.open("POST", maesil.ofThisTab(place));
    request.upload.onprogress = (event) => {
      if (event.lengthComputable) {
        status(`Uploading: ${Math.floor((100 * event.loaded) / event.total)} %`);
      }
    };
    const reading = place === "upload" ? "Searching the upload for scans …" : "Reading the labels …";
    request.upload.onload = () => status(reading);
    request.onload = () => {
      let answer = {};
      try {
        answer = JSON.parse(request.responseText);
      } catch {
        answer = { error: `The upload failed: the server answered ${request.status}.` };
      }
      status(answer.error || "", Boolean(answer.error));
    };
    request.onerror = () => status("The upload failed: the server cannot be reached.", true);
    request.send(form);
  }

  function upload(input, place = "upload") {
    send(Array.from(input.files, (file) => [file.webkitRelativePath || file.name, file]), place);
    // Allows choosing the same file again.
    input.value = "";
  }

  async function below(entry, prefix) {
    if (entry.isFile) {
      const file = await new Promise((done, failed) => entry.file(done, failed));
      return [[prefix + file.name, file]];
    }
    const reader = entry.createReader();
    const found = [];
    // A reader returns its entries in batches; an empty batch is the last.
    for (;;) {
      const portion = await new Promise((done, failed) => reader.readEntries(done, failed));
      if (!portion.length) {
        return found;
      }
      for (const child of portion) {
        found.push(...(await below(child, `${prefix}${entry.name}/`)));
      }
    }
  }

  async function drop(event) {
    // Read the items before the first await clears them. Some dropped items are not files.
    const dropped = Array.from(event.dataTransfer.items)
      .filter((item) => item.kind === "file")
      .map((item) => [item.webkitGetAsEntry(), item.getAsFile()]);
    try {
      const lists = await Promise.all(
        dropped.map(([entry, file]) => (entry ? below(entry, "") : [[file.name, file]])),
      );
      send(lists.flat(), "upload");
    } catch (error) {
      status(`What was dropped cannot be read (${error.message}).`, true);
    }
  }

  let depth = 0;

  function showTarget(isShown) {
    const target = document.getElementById("drop-target");
    if (target) {
      target.hidden = !isShown || !maesil.mayChange();
    }
  }

  const holdsFiles = (event) => Array.from(event.dataTransfer?.types || []).includes("Files");

  window.addEventListener("dragenter", (event) => {
    if (holdsFiles(event)) {
      depth += 1;
      showTarget(true);
    }
  });
  window.addEventListener("dragleave", (event) => {
    if (holdsFiles(event)) {
      depth = Math.max(0, depth - 1);
      showTarget(depth > 0);
    }
  });
  window.addEventListener("dragover", (event) => {
    if (holdsFiles(event)) {
      event.preventDefault();
    }
  });
  window.addEventListener("drop", (event) => {
    depth = 0;
    showTarget(false);
    if (holdsFiles(event)) {
      event.preventDefault();
      drop(event);
    }
  });

  function choosePoint(event) {
    const point = event.target.closest("[data-superpatch]");
    if (point && maesil.mayChange()) {
      window.trame.trigger("choose_superpatch", [Number(point.dataset.superpatch)]);
    }
  }

  // On the document, because a click in a view does not move the focus to it.
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && maesil.mayChange()) {
      window.trame.trigger("stop_picking");
    }
  });

  Object.assign(window.maesil, { upload, choosePoint, forgetUpload: () => status("") });
})();
