// <umbel-tray base="/umbel/">: this visitor's tasks, over page changes; add(ticket, label).
import { make, sheet, where } from './umbel-progress.js'

const corner = new CSSStyleSheet
corner.replaceSync(`:host{position:fixed;z-index:9;inset-block-end:1rem;inset-inline-end:1rem;box-sizing:border-box;margin:0;
inline-size:min(22rem,100vw - 2rem);max-block-size:50vh;overflow:auto;padding:.5rem 1rem;border:1px solid #8888;border-radius:.5rem;
background:Canvas;color:CanvasText;box-shadow:0 .25rem 1rem #0004}[part=row]{padding-block:.25rem}[part=row]+[part=row]{border-block-start:1px solid #8884}`)

class Tray extends HTMLElement {
  connectedCallback() {
    this.name = 'umbel-tray ' + where(this)
    if (!this.r) {
      this.r = this.attachShadow({ mode: 'open' })
      this.r.adoptedStyleSheets = [sheet, corner]
      this.list = make('div', 'list')
      this.r.append(this.list)
      this.list.role = 'region'
      this.list.ariaLabel = this.getAttribute('label') || 'Tasks'
    }
    this.list.replaceChildren()
    for (const t of this.all) this.show(t)
    this.hidden = !this.all.length
  }
  get all() { try { return JSON.parse(sessionStorage[this.name] || '[]') } catch { return [] } }
  set all(v) { sessionStorage[this.name] = JSON.stringify(v.slice(-20)); this.hidden = !v.length }
  add(task, label = 'Task') {
    const t = { task, label }
    if (this.all.some(o => o.task == task)) return
    this.all = [...this.all, t]
    this.show(t)
  }
  show({ task, label }) {
    const p = document.createElement('umbel-progress'), row = make('div', 'row'), b = make('button', 'dismiss')
    for (const [k, v] of Object.entries({ task, label, base: where(this), cancel: '' })) p.setAttribute(k, v)
    b.textContent = 'Dismiss'
    b.ariaLabel = 'Dismiss ' + label
    b.hidden = true
    b.onclick = () => { row.remove(); this.all = this.all.filter(o => o.task != task) }
    p.addEventListener('umbel-change', e => b.hidden = !e.detail.final)
    row.append(p, b)
    this.list.append(row)
  }
}
customElements.get('umbel-tray') || customElements.define('umbel-tray', Tray)
