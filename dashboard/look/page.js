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

  // Pictures and numbers to take away. A picture is for white paper, whatever the page looks like.
  const save = (plot, kind) => {
    const filename = `potluck-${plot.dataset.plot}`;
    if (kind === 'csv') {
      const link = document.createElement('a');
      link.href = URL.createObjectURL(new Blob([csv(JSON.parse(plot.json))], { type: 'text/csv' }));
      link.download = `${filename}.csv`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
      return;
    }
    const printed = colours(plot.json, 'light');
    Object.assign(printed.layout, { paper_bgcolor: '#fff', plot_bgcolor: '#fff' });
    const size = { width: Math.max(640, plot.clientWidth), height: Math.max(360, plot.clientHeight), scale: 2 };
    window.Plotly.downloadImage(printed, { format: kind, filename, ...size });
  };
  const csv = ({ data, layout }) => {
    const plain = (text) => new DOMParser().parseFromString(String(text ?? ''), 'text/html').body.textContent;
    const cell = (value) => {
      if (typeof value === 'number' || value == null) return value ?? '';
      const text = plain(value).replace(/^[=+\-@\t\r]/, "'$&"); // no formula for a spreadsheet
      return `"${text.replaceAll('"', '""')}"`;
    };
    const axis = (name) => layout[name]?.title?.text;
    const rows = data.flatMap((one) => {
      const flat = one.orientation === 'h';
      const [places, values] = flat ? [one.customdata ?? one.y, one.x] : [one.x, one.y];
      return values.map((value, at) => [one.name, places[at], value].map(cell).join(','));
    });
    const at = data[0]?.orientation === 'h' ? 'name' : axis('xaxis') ?? 'x';
    return [['series', at, 'value'].map(cell).join(','), ...rows].join('\r\n');
  };
  document.addEventListener('click', (event) => {
    const kind = event.target.dataset?.save;
    const plot = kind && event.target.closest('.chart')?.querySelector('.plot');
    if (plot?.json) save(plot, kind);
  });

  const config = { responsive: true, displayModeBar: false, scrollZoom: false, doubleClick: 'reset' };
  const coarse = matchMedia('(pointer: coarse)'); // there, a finger scrolls the page and does not zoom into a chart

  const draw = async (data) => {
    const plot = document.querySelector(`.plot[data-plot="${data.dataset.for}"]`);
    const json = data.dataset.figure;
    const state = json + isDark() + data.dataset.empty;
    if (!plot || plot.state === state) return;
    const early = (plot.next ?? 0) - performance.now();
    if (early > 0) { // a chart is drawn twice a second at most, its last state always
      plot.due ??= setTimeout(() => { plot.due = undefined; redraw(); }, early);
      return;
    }
    plot.next = performance.now() + 500;
    plot.state = state;
    const chart = plot.closest('.chart');
    const hidden = !json && !data.dataset.empty;
    if (chart.hidden !== hidden) { // its neighbours become narrower or wider; Plotly hears of the window alone
      chart.hidden = hidden;
      clearTimeout(draw.fitting);
      draw.fitting = setTimeout(() => dispatchEvent(new Event('resize')), 200);
    }
    if (!json) {
      if (plot.json) window.Plotly?.purge(plot);
      plot.json = undefined;
      plot.style.height = '';
      const words = Object.assign(document.createElement('p'), { className: 'waiting', textContent: data.dataset.empty });
      plot.replaceChildren(words);
      return;
    }
    const waits = plot.querySelector('.waiting');
    if (waits) waits.textContent = 'One moment: the chart is being drawn.'; // what stood there is true no longer
    try {
      const library = window.Plotly ?? await plotly();
      if (plot.state !== state) return; // a newer one has come
      if (!plot.json) plot.replaceChildren();
      plot.json = json;
      const { data: traces, layout } = colours(json);
      if (coarse.matches) layout.dragmode = false;
      plot.style.height = `${layout.height}px`;
      await library.react(plot, traces, layout, config);
    } catch (error) {
      plot.state = plot.json = undefined;
      plot.textContent = error.message;
    }
  };
  const redraw = () => document.querySelectorAll('[data-figure]').forEach(draw);

  // ---- a token is kept for this tab, once the server has taken it, so that a reload need not ask for it again
  const tab = (work) => { try { return work(sessionStorage); } catch { return null; } };
  let given = null;
  let tried = false;
  let noted = '';
  const field = () => document.querySelector('#token input');
  const noteToken = () => {
    const { signed, now } = document.querySelector('[data-signed]')?.dataset ?? {};
    if (!signed || noted === signed + now) return;
    noted = signed + now; // one answer of the server is taken note of once
    if (signed === 'yes' && given) tab((kept) => kept.setItem('token', given));
    if (signed === 'refused') tab((kept) => kept.removeItem('token'));
    if (signed !== 'no') given = null;
    if (tried || !field() || signed !== 'no') return;
    tried = true; // once the page has said who is looking without one
    const kept = tab((store) => store.getItem('token'));
    if (!kept) return;
    field().value = kept;
    field().dispatchEvent(new Event('input', { bubbles: true }));
    given = kept;
    document.querySelector('#sign-in').click();
  };
  document.addEventListener('input', (event) => { if (event.target === field()) given = field().value.trim() || given; }, true);
  document.addEventListener('click', (event) => {
    if (event.target.closest?.('#sign-out')) {
      given = null;
      tab((kept) => kept.removeItem('token'));
    }
  }, true);

  // ---- tabs: on a phone their strip moves sideways, and the one that is open is to be seen
  let opened;
  const showTab = () => {
    const tab = document.querySelector('[role=tablist] [aria-selected=true]');
    if (!tab || tab === opened) return;
    opened = tab;
    tab.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  };

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
    requestAnimationFrame(() => { due = false; paint(); redraw(); noteToken(); showTab(); clocks(); });
  };
  const begin = () => {
    new MutationObserver(changed).observe(document.body, {
      childList: true, subtree: true, attributes: true, attributeFilter: ['class', 'data-figure', 'data-signed'],
    });
    setInterval(clocks, 1000);
    changed();
  };
  if (document.body) begin();
  else document.addEventListener('DOMContentLoaded', begin);
})();
