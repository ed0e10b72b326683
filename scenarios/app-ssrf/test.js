'use strict'
// The newsletter tool's own tests: what a preview holds, bounds, failures of partners, several hooks.
const { benign } = require('@crisol/trial')
const assert = require('assert')
const { ask, partner } = require('./partner')

benign(async t => {
  const preview = async path => ask(t, 'GET', '/preview', { url: `http://127.0.0.1:9200${path}` })
  assert.strictEqual((await preview('/nobody-listens-yet')).status, 400)
  const seen = await partner({
    '/plain': { body: 'no title here' },
    '/long': { body: `<title>Long</title>${'x'.repeat(1000)}` },
    '/broken': { status: 500, body: 'oops' },
    '/one': { status: 302, headers: { Location: '/two' } },
    '/two': { status: 307, headers: { Location: 'http://127.0.0.1:9200/plain' } },
    '/bare': { status: 304 },
    '/a': {},
    '/b': {}
  })
  assert.deepStrictEqual((await preview('/plain')).value, { status: 200, url: 'http://127.0.0.1:9200/plain', title: null, excerpt: 'no title here' })
  assert.strictEqual((await preview('/long')).value.excerpt.length, 200)
  assert.strictEqual((await preview('/broken')).value.status, 500)
  assert.strictEqual((await preview('/one')).value.url, 'http://127.0.0.1:9200/plain')
  assert.strictEqual((await preview('/bare')).value.status, 304)

  assert.deepStrictEqual((await ask(t, 'POST', '/news', { text: 'nobody hears' })).value, { told: 0 })
  for (const path of ['/a', '/b']) assert.strictEqual((await ask(t, 'POST', '/hooks', { url: `http://127.0.0.1:9200${path}` })).status, 200)
  assert.deepStrictEqual((await ask(t, 'POST', '/news', { text: 'both hear' })).value, { told: 2 })
  assert.strictEqual(seen.filter(req => req.text.includes('both hear')).length, 2)
  assert.strictEqual((await ask(t, 'POST', '/hooks')).status, 400)
  assert.strictEqual((await ask(t, 'GET', '/elsewhere')).status, 404)
})
