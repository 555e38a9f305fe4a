// Small helpers of the console. Everything here is a comfort: every page works without it.
(() => {
  const root = document.documentElement, store = (k, v) => { try { return v === undefined ? localStorage.getItem(k) : localStorage.setItem(k, v) } catch { return null } };
  const all = (s, f) => document.querySelectorAll(s).forEach(f);
  const theme = store('theme'); if (theme) root.dataset.theme = theme;

  const dark = () => root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  const acts = {
    theme() { root.dataset.theme = dark() ? 'light' : 'dark'; store('theme', root.dataset.theme) },
    zone() { store('zone', store('zone') === 'local' ? 'utc' : 'local'); times() },
    bad() { root.classList.toggle('only-bad') },
  };

  const pad = n => String(n).padStart(2, '0');
  function age(s) { return s < 60 ? s + ' s' : s < 3600 ? (s / 60 | 0) + ' min' : s < 172800 ? (s / 3600 | 0) + ' h' : (s / 86400 | 0) + ' d' }
  function times() {
    const local = store('zone') === 'local', zone = local ? Intl.DateTimeFormat().resolvedOptions().timeZone : 'UTC';
    all('[data-zone],[data-do=zone]', e => e.textContent = e.matches('button') ? (local ? 'local' : 'UTC') : zone);
    all('time[data-clock]', e => { const d = new Date(e.dateTime); e.textContent = local ? [d.getHours(), d.getMinutes(), d.getSeconds()].map(pad).join(':') : e.dateTime.slice(11, 19) });
    all('time[data-ago]', e => e.textContent = age(Math.max(0, (Date.now() - new Date(e.dateTime)) / 1000 | 0)) + ' ago');
  }

  async function copy(button) {
    const text = button.dataset.copy;
    try { await navigator.clipboard.writeText(text) } catch { // plain HTTP has no clipboard API
      const t = Object.assign(document.createElement('textarea'), { value: text });
      button.after(t); t.select(); document.execCommand('copy'); t.remove();
    }
    button.textContent = 'copied'; setTimeout(() => button.textContent = 'copy', 1500);
  }

  document.addEventListener('click', e => {
    const c = e.target.closest('[data-copy]'); if (c) return copy(c);
    const d = e.target.closest('[data-do]'); if (d) acts[d.dataset.do]?.();
  });
  document.addEventListener('change', e => { if (e.target.matches('[data-submit]')) e.target.form.requestSubmit() });

  let go = false, row = -1;
  const keys = { '/': () => document.getElementById('q')?.focus(), t: acts.theme, z: acts.zone, e: acts.bad, j: () => step(1), k: () => step(-1) };
  function step(by) {
    const rows = [...document.querySelectorAll('tr.row a.go')]; if (!rows.length) return;
    row = Math.min(rows.length - 1, Math.max(0, row + by)); rows[row].focus();
  }
  document.addEventListener('keydown', e => {
    if (e.ctrlKey || e.metaKey || e.altKey || e.target.closest('input,select,textarea')) return;
    if (go) { go = false; const a = document.querySelector(`a[data-go="${CSS.escape(e.key)}"]`); if (a) return a.click() }
    if (e.key === 'g') { go = true; setTimeout(() => go = false, 1000); return }
    if (keys[e.key]) { e.preventDefault(); keys[e.key]() }
  });

  const pulse = (word, kind) => { const p = document.getElementById('pulse'); if (p) { p.textContent = word; p.className = 'pulse ' + kind } };
  const ours = e => e.target.id === 'live';
  document.addEventListener('htmx:sse:after:connection', e => ours(e) && pulse('live', 'on'));
  document.addEventListener('htmx:sse:error', e => ours(e) && pulse('reconnecting', 'off'));
  document.addEventListener('htmx:sse:close', e => ours(e) && pulse('stale', 'off'));
  document.addEventListener('reset', e => ours(e) && e.target.dispatchEvent(new Event('change')));
  document.addEventListener('htmx:after:swap', times);

  document.addEventListener('DOMContentLoaded', () => {
    times(); setInterval(times, 15000);
    // Not under somebody's hands: a confirmation that is open stays as it is.
    setInterval(() => document.hidden || document.querySelector('details[open]') || all('[data-refresh]', e => e.dispatchEvent(new Event('refresh'))), 5000);
    const log = document.querySelector('ol.log.full'); if (!log) return;
    let follow = !location.hash.startsWith('#L');
    log.addEventListener('scroll', () => follow = log.scrollHeight - log.scrollTop - log.clientHeight < 40);
    new MutationObserver(() => follow && (log.scrollTop = log.scrollHeight)).observe(log, { childList: true });
  });
})();
