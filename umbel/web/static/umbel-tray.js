// <umbel-tray base="/umbel/">: this visitor's tasks, over page changes; add(ticket, label).
import { make, sheet, where } from './umbel-progress.js'

class Tray extends HTMLElement {
  connectedCallback() {
    this.name = 'umbel-tray ' + where(this)
    if (!this.r) {
      this.r = this.attachShadow({ mode: 'open' })
      this.r.adoptedStyleSheets = [sheet]
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
