'use strict'
// A town library's site: sign in, choose a language, sign out, and go on to where the reader was. Its readers also go
// on to the shared catalogue, whose site is listed in sites.json.
const http = require('http')
const { home } = require('./sites.json')

const readers = { ada: 'lovelace' }

const escape = text => text.replace(/[&<>"]/g, c => `&#${c.charCodeAt(0)};`)

// target is where a reader goes on to.
function target (fields) {
  return fields.get('next') || '/'
}

function page (title, body, head = '') {
  return `<!doctype html>\n<html><head><title>${title}</title>${head}</head>\n<body>${body}</body></html>\n`
}

function loginPage (fields) {
  return page('Sign in', `<form method="post" action="/login">
<input name="name"> <input name="password" type="password">
<input name="next" type="hidden" value="${escape(fields.get('next') || '')}"> <button>Sign in</button>
</form>`)
}

function login (fields) {
  const name = fields.get('name') || ''
  if (!Object.hasOwn(readers, name) || readers[name] !== fields.get('password')) return [403, {}, loginPage(fields)]
  return [303, { Location: target(fields), 'Set-Cookie': `reader=${name}; HttpOnly` }, '']
}

function language (fields) {
  const code = fields.get('code')
  if (!['en', 'es', 'pt'].includes(code)) return [400, {}, page('Refused', '<p>No such language.</p>')]
  return [302, { Location: target(fields), 'Set-Cookie': `language=${code}` }, '']
}

// logout says goodbye for a moment before it goes on.
function logout (fields) {
  const refresh = `<meta http-equiv="refresh" content="1; url=${escape(target(fields))}">`
  return [200, { 'Set-Cookie': 'reader=; Max-Age=0' }, page('Goodbye', '<p>See you soon.</p>', refresh)]
}

const routes = {
  'GET /': () => [200, {}, page('Library', `<p>Welcome to ${home}.</p>`)],
  'GET /login': fields => [200, {}, loginPage(fields)],
  'POST /login': login,
  'GET /language': language,
  'GET /logout': logout
}

async function body (req) {
  let text = ''
  for await (const part of req) text += part
  return text
}

http.createServer(async (req, res) => {
  const url = new URL(req.url, home)
  const fields = req.method === 'POST' ? new URLSearchParams(await body(req)) : url.searchParams
  const route = routes[`${req.method} ${url.pathname}`]
  try {
    const [status, headers, html] = route ? route(fields) : [404, {}, page('Not found', '<p>No such page.</p>')]
    res.writeHead(status, { 'Content-Type': 'text/html; charset=utf-8', ...headers })
    res.end(html)
  } catch (err) {
    res.writeHead(400).end()
  }
}).listen(8080, '127.0.0.1')
