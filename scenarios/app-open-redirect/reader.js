'use strict'
// A reader's browser, as far as these scripts need one: each way of going on, and where it leads.
const HOME = 'http://library.example'

// lands resolves an address as a browser does (WHATWG URL), seen on a page of the library.
const lands = (address, path) => new URL(address, HOME + path).href

const unescape = html => html.replace(/&#(\d+);/g, (_, code) => String.fromCharCode(code)).replace(/&quot;/g, '"').replace(/&lt;/g, '<')
  .replace(/&gt;/g, '>').replace(/&amp;/g, '&')

async function login (t, next, password = 'lovelace') {
  const res = await t.request({
    method: 'POST',
    path: '/login',
    headers: { Host: 'library.example', 'Content-Type': 'application/x-www-form-urlencoded' },
    body: String(new URLSearchParams({ name: 'ada', password, ...(next === undefined ? {} : { next }) }))
  })
  return { ...res, lands: res.status === 303 ? lands(res.headers.location, '/login') : undefined }
}

async function open (t, path, fields) {
  const res = await t.request({ path: `${path}?${new URLSearchParams(fields)}`, headers: { Host: 'library.example' } })
  if (res.status === 302) return { ...res, lands: lands(res.headers.location, path) }
  const refresh = /<meta http-equiv="refresh" content="\d+; ?url=([^"]*)">/.exec(res.body)
  return { ...res, lands: refresh ? lands(unescape(refresh[1]), path) : undefined }
}

const language = (t, next) => open(t, '/language', { code: 'es', ...(next === undefined ? {} : { next }) })
const logout = (t, next) => open(t, '/logout', next === undefined ? {} : { next })

module.exports = { login, language, logout, open, ways: [login, language, logout] }
