'use strict'
// A newsletter tool: previews of partners' pages, and webhooks that tell partners of news. Partners are listed, by
// their origin, in partners.json.
const http = require('http')
const { partners } = require('./partners.json')

const MAX_HOPS = 3
const MAX_BYTES = 256 * 1024

const hooks = []

// send makes one request and resolves to the answer with its body.
function send (method, url, text) {
  return new Promise((resolve, reject) => {
    const headers = text ? { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) } : {}
    const req = http.request(url, { method, headers, agent: false, timeout: 5000 }, res => {
      let body = ''
      res.setEncoding('utf8')
      res.on('data', part => { body = (body + part).slice(0, MAX_BYTES) })
      res.on('error', reject)
      res.on('end', () => resolve({ status: res.statusCode, location: res.headers.location, body }))
    })
    req.on('timeout', () => req.destroy(new Error('no answer')))
    req.on('error', reject)
    req.end(text)
  })
}

// fetch follows redirects, as a reader's browser would.
async function fetch (address) {
  let url = new URL(address)
  for (let hop = 0; hop <= MAX_HOPS; hop++) {
    const res = await send('GET', url)
    if (res.status < 300 || res.status > 399 || !res.location) return { ...res, url }
    url = new URL(res.location, url)
  }
  throw new Error('too many redirects')
}

async function preview (address) {
  const { status, body, url } = await fetch(address)
  const title = /<title>([^<]*)<\/title>/i.exec(body)
  return { status, url: url.href, title: title ? title[1].trim() : null, excerpt: body.replace(/<[^>]*>/g, ' ').trim().slice(0, 200) }
}

async function subscribe (address) {
  const url = new URL(address)
  const { status } = await send('POST', url, JSON.stringify({ event: 'subscribed' }))
  if (status > 299) throw new Error(`the hook answered ${status}`)
  hooks.push(url.href)
  return { hook: url.href, hooks: hooks.length }
}

async function publish (text) {
  const told = await Promise.allSettled(hooks.map(hook => send('POST', new URL(hook), JSON.stringify({ event: 'news', text }))))
  return { told: told.filter(one => one.status === 'fulfilled').length }
}

const routes = {
  'GET /partners': async () => ({ partners }),
  'GET /preview': async fields => preview(fields.get('url')),
  'POST /hooks': async fields => subscribe(fields.get('url')),
  'POST /news': async fields => publish(fields.get('text'))
}

async function answer (req) {
  const url = new URL(req.url, 'http://127.0.0.1:8080')
  const route = routes[`${req.method} ${url.pathname}`]
  if (!route) return [404, { error: 'not found' }]
  try {
    return [200, await route(url.searchParams)]
  } catch (err) {
    return [400, { error: err.message }]
  }
}

http.createServer(async (req, res) => {
  const [status, value] = await answer(req)
  res.writeHead(status, { 'Content-Type': 'application/json' })
  res.end(JSON.stringify(value))
}).listen(8080, '127.0.0.1')
