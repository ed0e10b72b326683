'use strict'
// A guest book: messages with a name and a website, a page that lists them and a search. Messages are kept in memory.
const http = require('http')

const messages = [
  { name: 'Ada', website: 'https://ada.example/', text: 'A warm welcome to the guest book.' }
]

function page (title, body) {
  return `<!doctype html>
<html><head><meta charset="utf-8"><title>${title}</title></head>
<body>
${body}
</body></html>
`
}

function entry (message) {
  return `<article title="Posted by ${message.name}">
<h2><a href="${message.website}">${message.name}</a></h2>
<p>${message.text}</p>
</article>`
}

const form = `<form method="post" action="/messages">
<input name="name" required> <input name="website"> <textarea name="text" required></textarea> <button>Sign</button>
</form>`

function book () {
  return page('Guest book', `<h1>Guest book</h1>\n${messages.map(entry).join('\n')}\n${form}`)
}

function results (query) {
  const found = messages.filter(message => message.text.toLowerCase().includes(query.toLowerCase()))
  return page('Search', `<h1>Messages with ${query}</h1>
${found.map(entry).join('\n')}
<p>${found.length} found</p>
<script>
const query = ${JSON.stringify(query)}
document.title = query
</script>`)
}

function sign (fields) {
  const message = {
    name: (fields.get('name') || '').trim(),
    website: (fields.get('website') || '').trim(),
    text: (fields.get('text') || '').trim()
  }
  if (!message.name || !message.text) return false
  messages.push(message)
  return true
}

function html (res, status, body) {
  res.writeHead(status, { 'Content-Type': 'text/html; charset=utf-8' })
  res.end(body)
}

async function body (req) {
  let text = ''
  for await (const part of req) text += part
  return text
}

async function answer (req, res) {
  const url = new URL(req.url, 'http://127.0.0.1:8080')
  if (req.method === 'GET' && url.pathname === '/') return html(res, 200, book())
  if (req.method === 'GET' && url.pathname === '/search') return html(res, 200, results(url.searchParams.get('q') || ''))
  if (req.method === 'POST' && url.pathname === '/messages') {
    if (!sign(new URLSearchParams(await body(req)))) return html(res, 400, page('Refused', '<p>A name and a text, please.</p>'))
    res.writeHead(303, { Location: '/' })
    return res.end()
  }
  html(res, 404, page('Not found', '<p>No such page.</p>'))
}

http.createServer((req, res) => answer(req, res).catch(err => html(res, 500, page('Error', `<p>${err.name}</p>`))))
  .listen(8080, '127.0.0.1')
