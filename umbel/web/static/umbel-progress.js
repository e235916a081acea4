// <umbel-progress task="…" base="/umbel/"> and watch(key, {base}): one stream a page for all of them.
const hubs = {}, d = document, STYLE = `:host{display:block;font:inherit;margin:.5em 0}:host([hidden]){display:none}
[part=label]{font-weight:600}[part=track]{block-size:.6em;border-radius:.3em;background:#8884;overflow:hidden;margin:.25em 0;forced-color-adjust:none}
[part=bar]{block-size:100%;inline-size:0;border-radius:.3em;background:var(--umbel-color,#0b66c3);transition:inline-size .25s}
.wait [part=bar]{inline-size:30%;animation:u 1.5s infinite alternate}@keyframes u{to{margin-inline-start:70%}}
.bad [part=bar]{background:var(--umbel-bad,#b3261e)}
[part=text],[part=facts]{overflow-wrap:anywhere}[part=facts]{font-size:.875em}
button{font:inherit;min-block-size:24px;margin-inline-end:.5em}[part=say]{position:absolute;clip-path:inset(50%)}
@media(prefers-reduced-motion){*{animation:none!important;transition:none!important}}
@media(forced-colors:active){[part=track]{border:1px solid CanvasText;background:Canvas}[part=bar]{background:Highlight}}`
export const sheet = new CSSStyleSheet
sheet.replaceSync(STYLE)
const later = (f, ms) => setTimeout(f, ms)
const time = s => s < 60 ? s + ' s' : s < 3600 ? Math.round(s / 60) + ' min' : (s / 3600).toFixed(1) + ' h'
const num = n => n.toLocaleString()
export const make = (tag, part) => { const e = d.createElement(tag); e.part = part; return e }
const BYE = { 401: 'Log in to see this', 403: 'This may not be shown to you', 404: 'No such task', 410: 'Load the page again to see this' }

class Hub {
  keys = new Map; up = false; wait = 500
  constructor(base) {
    this.base = base
    d.addEventListener('visibilitychange', () => this.turn())
  }
  add(key, tell) {
    let k = this.keys.get(key)
    k || this.keys.set(key, k = { tells: new Set, seq: 0 })
    k.tells.add(tell)
    if (k.last) tell(k.last)
    this.turn()
    return () => k.tells.delete(tell) && (k.tells.size || this.keys.delete(key) && this.turn())
  }
  get open() { return [...this.keys].filter(([, k]) => !k.done) }
  turn() { clearTimeout(this.t); this.t = later(() => this.run(), 30) }
  tell(key, snap) {
    const k = this.keys.get(key)
    if (!k) return
    if (snap.seq != null) k.seq = snap.seq
    if (snap.final || snap.gone) k.done = 1
    k.last = snap
    for (const tell of k.tells) tell(snap)
  }
  all(snap) { for (const [key, k] of this.open) this.tell(key, { state: 'PENDING', ...k.last, ...snap }) }
  async run() {
    const want = this.open.map(([key]) => key).sort().join()
    if (this.ctl && (want != this.want || d.hidden)) this.ctl.abort(), this.ctl = 0
    if (!want || d.hidden || this.ctl) return
    const ctl = this.ctl = new AbortController
    this.want = want
    try {
      await (this.polls ? this.poll(ctl.signal) : this.read(ctl.signal))
      this.wait = 500
    } catch (e) {
      if (ctl.signal.aborted) return
      this.all({ lost: 1 })
      this.wait = Math.max(e.after || 0, Math.min(this.wait * 2, 15e3))
    }
    if (this.ctl != ctl) return
    this.ctl = 0
    clearTimeout(this.t)
    this.t = later(() => this.run(), this.wait * (.75 + Math.random() / 2))
  }
  async get(path, signal, key) {
    const r = await fetch(this.base + path, { signal, headers: { accept: 'text/event-stream, application/json' } })
    if (BYE[r.status]) return this.gone(key, r.status)
    if (r.status == 501) { this.polls = 1; return }
    if (!r.ok) throw { after: 1e3 * r.headers.get('retry-after') }
    return r
  }
  gone(key, status) { for (const [k] of key ? [[key]] : this.open) this.tell(k, { gone: status, final: 1, state: 'GONE' }) }
  async poll(signal) {
    for (const [key] of this.open) {
      const r = await this.get('tasks/' + key, signal, key)
      if (r) this.tell(key, { ...await r.json(), lost: 0 })
    }
    this.wait = 500
  }
  async read(signal) {
    const r = await this.get('stream?' + this.open.slice(0, 99).map(([key, k]) => `t=${encodeURIComponent(key)}~${k.seq}`).join('&'), signal)
    if (!r || r.status == 204) return
    const body = r.body.pipeThrough(new TextDecoderStream).getReader()
    let rest = ''
    for (;;) {
      const { value, done } = await body.read()
      if (done) return
      const parts = (rest + value).split('\n\n')
      rest = parts.pop()
      for (const part of parts) {
        const at = part.indexOf('\ndata: '), data = at < 0 ? '{}' : part.slice(at + 7), snap = JSON.parse(data)
        this.wait = 500
        if (snap.status) this.gone(snap.key, snap.status)
        else if (snap.key) this.tell(snap.key, { ...snap, lost: 0 })
      }
    }
  }
}
const hub = base => hubs[base] ||= new Hub(base)
export const where = e => new URL(e.getAttribute('base') || '.', d.baseURI).href

export function watch(key, { base = '/umbel/' } = {}) {
  base = new URL(base, d.baseURI).href
  return {
    async *[Symbol.asyncIterator]() {
      let last, ring
      const stop = hub(base).add(key, snap => { last = snap; ring && ring() })
      try {
        for (;;) {
          last || await new Promise(r => ring = r)
          const snap = last
          last = 0
          yield snap
          if (snap.final) return
        }
      } finally { stop() }
    }
  }
}

const facts = s => {
  const out = []
  if (s.stage) out.push(s.stage.label + (s.stage.n > 1 ? ` (${s.stage.i}/${s.stage.n})` : ''))
  if (s.current != null) out.push(num(s.current) + (s.total ? ' / ' + num(s.total) : '') + (s.unit ? ' ' + s.unit : ''))
  const c = s.children
  if (c) out.push(`${c.done} of ${c.n} done` + (c.running ? ` · ${c.running} running` : '') + (c.failed ? ` · ${c.failed} failed` : ''))
  if (s.final) return out
  if (s.ahead != null) out.push(s.ahead ? s.ahead + ' tasks ahead' : 'next in line')
  if (s.eta) out.push(`about ${time(s.eta)} left`)
  else if (s.percent == null && s.usual) out.push(`usually takes about ${time(Math.ceil(s.usual))}`)
  if (s.attempt > 1 || s.state == 'RETRY') {
    const left = s.due ? Math.round(s.due - Date.now() / 1e3) : 0
    out.push(`attempt ${s.attempt}` + (s.attempts ? ' of ' + s.attempts : '') + (s.state == 'RETRY' && left > 0 ? ` in ${time(left)}` : ''))
  }
  return out
}

class Progress extends HTMLElement {
  static observedAttributes = ['task', 'label']
  connectedCallback() {
    if (!this.r) {
      const r = this.r = this.attachShadow({ mode: 'open' })
      r.adoptedStyleSheets = [sheet]
      for (const part of ['box', 'label', 'track', 'bar', 'text', 'facts', 'end', 'say']) this['$' + part] = make('div', part)
      this.$say.setAttribute('aria-live', 'polite')
      this.$track.role = 'progressbar'
      this.$track.append(this.$bar)
      this.$box.append(this.$label, this.$track, this.$text, this.$facts, this.$end, this.$say)
      r.append(this.$box)
    }
    this.follow()
    this.clock = setInterval(() => this.s && !this.s.final && this.draw(), 1e3)
  }
  disconnectedCallback() { this.stop?.(); clearInterval(this.clock) }
  attributeChangedCallback() { this.r && this.follow() }
  follow() {
    this.stop?.()
    this.s = 0
    this.base = where(this)
    this.$label.textContent = this.label
    this.$track.ariaLabel = this.label
    this.draw()
    const key = this.getAttribute('task')
    if (key) this.stop = hub(this.base).add(key, s => { this.s = s; this.at = Date.now(); this.draw(); this.tell(s) })
  }
  get label() { return this.getAttribute('label') || 'Progress' }
  tell(s) {
    this.fire('change', s)
    if (!s.final || this.over) return
    this.over = 1
    this.fire({ SUCCESS: 'done', FAILURE: 'failed', REVOKED: 'cancelled' }[s.state] || 'gone', s)
  }
  fire(kind, detail) { this.dispatchEvent(new CustomEvent('umbel-' + kind, { detail, bubbles: true })) }
  draw() {
    const s = this.s || { state: 'PENDING' }, e = s.error, quiet = this.s ? (Date.now() - this.at) / 1e3 : 0
    const usual = s.percent == null && s.usual && s.elapsed != null
    const p = s.final && s.state == 'SUCCESS' ? 100 : usual ? Math.min(95, 100 * (s.elapsed + quiet) / s.usual) : s.percent
    this.$box.className = (p == null && !s.final ? 'wait ' : '') + (e ? 'bad ' : '') + s.state.toLowerCase()
    this.$bar.style.inlineSize = p == null ? '' : p + '%'
    p == null ? this.$track.removeAttribute('aria-valuenow') : this.$track.ariaValueNow = Math.round(p)
    const text = s.gone ? BYE[s.gone] : e ? e.text + (e.ref ? ` (ref ${e.ref})` : '')
      : s.message || { PENDING: 'Waiting', RETRY: 'Trying again', SUCCESS: 'Done', REVOKED: 'Cancelled' }[s.state] || 'Working'
    this.$text.textContent = s.cancelling || this.asked && !s.final ? 'Stopping… ' + text : text
    const more = facts(s)
    if (s.lost && !s.final) more.push('reconnecting…')
    else if (!s.final && s.updated && quiet > 15) more.push(`no update for ${time(Math.round(quiet))}`)
    this.$facts.textContent = more.join(' · ')
    this.actions(s)
    const say = text + (p == null ? '' : ` ${Math.round(p)} %`), now = Date.now()
    if (say != this.said && (s.final || now - (this.saidAt || 0) > 1e4)) this.$say.textContent = this.said = say, this.saidAt = now
  }
  actions(s) {
    const can = !s.final && this.hasAttribute('cancel') && s.can?.includes('cancel')
    const sign = JSON.stringify([can, s.links, this.asked])
    if (sign == this.sign) return
    this.sign = sign
    this.$end.replaceChildren()
    if (can) {
      const b = make('button', 'cancel')
      b.textContent = 'Cancel'
      b.disabled = this.asked
      b.onclick = () => this.cancel()
      this.$end.append(b)
    }
    for (const [label, href] of s.links || []) if (/^(https?:\/\/|\/(?![/\\]))/.test(href)) {
      const a = make('a', 'link')
      a.href = href
      a.textContent = label
      this.$end.append(a, ' ')
    }
  }
  async cancel() {
    this.asked = 1
    this.draw()
    const r = await fetch(`${this.base}tasks/${this.getAttribute('task')}/cancel`, { method: 'POST' }).catch(() => 0)
    if (!r.ok) this.asked = 0, this.draw()
  }
}

customElements.get('umbel-progress') || customElements.define('umbel-progress', Progress)
