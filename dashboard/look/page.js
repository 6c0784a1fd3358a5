// Theme, charts and clocks: what the page does by itself, without asking the server.
(() => {
  const KEY = 'theme';
  const kept = () => {
    try { return localStorage.getItem(KEY); } catch { return null; }
  };
  const keep = (theme) => {
    try { localStorage.setItem(KEY, theme); } catch { /* a browser that keeps nothing */ }
  };
  const system = matchMedia('(prefers-color-scheme: dark)');
  const wanted = () => (['light', 'dark'].includes(kept()) ? kept() : 'auto');
  const isDark = () => wanted() === 'dark' || (wanted() === 'auto' && system.matches);

  const paint = () => {
    if (document.body && document.body.classList.contains('dark') !== isDark()) {
      document.body.classList.toggle('dark', isDark());
    }
    for (const button of document.querySelectorAll('#theme')) {
      const words = `Colours: ${wanted()}`;
      if (button.textContent.trim() !== words) button.textContent = words;
    }
  };
  document.addEventListener('click', (event) => {
    if (!event.target.closest?.('#theme')) return;
    const order = ['auto', 'light', 'dark'];
    keep(order[(order.indexOf(wanted()) + 1) % 3]);
    paint();
    redraw();
  });
  system.addEventListener('change', () => { paint(); redraw(); });

  // ---- charts: figures come as data; Plotly changes the drawing in its place, so that zoom stays and nothing blinks
  let loading;
  const plotly = () => loading ??= new Promise((done, failed) => {
    const script = document.createElement('script');
    script.src = new URL(document.querySelector('meta[name=plotly]').content, document.baseURI);
    script.onload = () => done(window.Plotly);
    script.onerror = () => { loading = undefined; failed(new Error('The charts could not be loaded.')); };
    document.head.append(script);
  });

  const colours = (json, scheme) => {
    const probe = document.body.appendChild(document.createElement('i'));
    if (scheme) probe.style.colorScheme = scheme;
    const found = {};
    const resolved = json.replace(/var\((--[a-z0-9-]+)\)/g, (_, name) => {
      if (!(name in found)) {
        probe.style.color = `var(${name})`;
        found[name] = getComputedStyle(probe).color;
      }
      return found[name];
    });
    probe.remove();
    return JSON.parse(resolved);
  };

  const picture = (format) => (plot) => {
    const printed = colours(plot.json, 'light'); // on white paper, whatever the page looks like
    Object.assign(printed.layout, { paper_bgcolor: '#fff', plot_bgcolor: '#fff' });
    const size = { width: Math.max(640, plot.clientWidth), height: Math.max(360, plot.clientHeight), scale: 2 };
    window.Plotly.downloadImage(printed, { format, filename: `potluck-${plot.dataset.plot}`, ...size });
  };
  const button = (name, format, path) => ({ name, title: name, click: picture(format), icon: { width: 24, height: 24, path } });
  const DOWN = 'M11 3h2v9l3-3 1.4 1.4L12 16l-5.400-5.600L8 9l3 3zM4 19h16v2H4z';
  const SHEET = 'M5 2h9l5 5v15H5zM13 4v4h4zM8 12h8v1.600H8zM8 16h8v1.600H8z';
  const config = {
    responsive: true,
    displaylogo: false,
    displayModeBar: true,
    modeBarButtons: [[button('Download as PNG', 'png', DOWN), button('Download as SVG', 'svg', SHEET)], ['resetScale2d']],
    scrollZoom: false,
    doubleClick: 'reset',
  };

  const draw = async (data) => {
    const plot = document.querySelector(`.plot[data-plot="${data.dataset.for}"]`);
    const json = data.dataset.figure;
    const state = json + isDark() + data.dataset.empty;
    if (!plot || plot.state === state) return;
    plot.state = state;
    if (!json) {
      if (plot.json) window.Plotly?.purge(plot);
      plot.json = undefined;
      const words = Object.assign(document.createElement('p'), { className: 'waiting', textContent: data.dataset.empty });
      plot.replaceChildren(words);
      return;
    }
    try {
      const library = window.Plotly ?? await plotly();
      if (plot.state !== state) return; // a newer one has come
      if (!plot.json) plot.replaceChildren();
      plot.json = json;
      const { data: traces, layout } = colours(json);
      await library.react(plot, traces, layout, config);
    } catch (error) {
      plot.state = undefined;
      plot.textContent = error.message;
    }
  };
  const redraw = () => document.querySelectorAll('[data-figure]').forEach(draw);

  // ---- clocks: `data-until` is the server's time; `data-now`, on the title, is what the server's clock said
  let ahead;
  const clocks = () => {
    const now = document.querySelector('[data-now]')?.dataset.now;
    if (now && now !== clocks.seen) {
      clocks.seen = now;
      ahead = Number(now) - Date.now() / 1000;
    }
    for (const clock of document.querySelectorAll('[data-until]')) {
      const left = Math.max(0, Math.round(Number(clock.dataset.until) - Date.now() / 1000 - (ahead ?? 0)));
      const [hours, minutes, seconds] = [Math.floor(left / 3600), Math.floor(left / 60) % 60, left % 60];
      const words = left === 0 ? 'now' : hours ? `${hours} h ${minutes} min` : minutes ? `${minutes} min ${seconds} s` : `${seconds} s`;
      if (clock.textContent !== words) clock.textContent = words;
    }
  };

  let due = false;
  const changed = () => {
    if (due) return;
    due = true;
    requestAnimationFrame(() => { due = false; paint(); redraw(); clocks(); });
  };
  const begin = () => {
    new MutationObserver(changed).observe(document.body, {
      childList: true, subtree: true, attributes: true, attributeFilter: ['class', 'data-figure'],
    });
    setInterval(clocks, 1000);
    changed();
  };
  if (document.body) begin();
  else document.addEventListener('DOMContentLoaded', begin);
})();
