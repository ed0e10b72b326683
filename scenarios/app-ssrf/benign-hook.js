'use strict'
// A partner subscribes to the news with a webhook and is told.
const { benign } = require('@crisol/trial')
const assert = require('assert')
const { ask, partner } = require('./partner')

benign(async t => {
  const seen = await partner({ '/hook': { status: 204 }, '/broken': { status: 500 } })
  assert.deepStrictEqual((await ask(t, 'POST', '/hooks', { url: 'http://127.0.0.1:9200/hook' })).value, { hook: 'http://127.0.0.1:9200/hook', hooks: 1 })
  assert.strictEqual((await ask(t, 'POST', '/hooks', { url: 'http://127.0.0.1:9200/broken' })).status, 400)
  assert.deepStrictEqual((await ask(t, 'POST', '/news', { text: 'Issue 12 is out' })).value, { told: 1 })
  assert.deepStrictEqual(seen.filter(req => req.path === '/hook').map(req => JSON.parse(req.text)), [
    { event: 'subscribed' }, { event: 'news', text: 'Issue 12 is out' }
  ])
})
