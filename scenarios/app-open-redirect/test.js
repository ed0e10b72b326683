'use strict'
// The library's own tests: cookies, refusals, and the address that a sign-in form keeps.
const { benign } = require('@crisol/trial')
const assert = require('assert')
const { login, open } = require('./reader')

benign(async t => {
  assert.match((await open(t, '/', {})).body, /Welcome to http:\/\/library\.example\./)
  assert.match((await open(t, '/login', { next: '/books?a=1&b="2"' })).body, /value="\/books\?a=1(&#38;|&amp;)b=(&#34;|&quot;)2(&#34;|&quot;)"/)
  const wrong = await login(t, '/books', 'byron')
  assert.strictEqual(wrong.status, 403)
  assert.match(wrong.body, /value="\/books"/)
  assert.strictEqual(wrong.headers['set-cookie'], undefined)
  assert.deepStrictEqual((await login(t, '/books')).headers['set-cookie'], ['reader=ada; HttpOnly'])
  const spanish = await open(t, '/language', { code: 'es', next: '/books' })
  assert.deepStrictEqual([spanish.status, spanish.headers['set-cookie']], [302, ['language=es']])
  assert.strictEqual((await open(t, '/language', { code: 'xx', next: '/books' })).status, 400)
  assert.match((await open(t, '/logout', {})).body, /See you soon/)
  assert.strictEqual((await open(t, '/nowhere', {})).status, 404)
})
