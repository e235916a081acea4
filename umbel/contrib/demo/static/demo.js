// Starts a task with each button, and keeps the tickets of this tab, so that loading the page again goes on.
const list = document.getElementById('tasks')
const kept = () => JSON.parse(sessionStorage.tasks || '[]')

function show({ task, label }) {
  const e = document.createElement('umbel-progress')
  for (const [name, value] of Object.entries({ task, label, base: '/umbel/', cancel: '' })) e.setAttribute(name, value)
  list.prepend(e)
}

for (const form of document.forms) form.addEventListener('submit', async event => {
  event.preventDefault()
  const label = event.submitter.dataset.label
  const file = form.action.endsWith('/import_customers') && document.getElementById('customers').files[0]
  const given = file ? { body: JSON.stringify({ text: await file.text() }), headers: { 'Content-Type': 'application/json' } } : {}
  const answer = await fetch(form.action, { method: 'POST', ...given })
  if (!answer.ok) return
  const task = (await answer.json()).key
  sessionStorage.tasks = JSON.stringify([...kept(), { task, label }].slice(-30))
  show({ task, label })
})

kept().forEach(show)
