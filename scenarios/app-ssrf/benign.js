'use strict'
// An editor previews a partner's pages: with a query, an @ in the path, a redirect within the partner's site.
const { benign } = require('@crisol/trial')
const assert = require('assert')
const { ask, partner } = require('./partner')

benign(async t => {
  const seen = await partner({
    '/story?id=7&ref=http://127.0.0.1:9099': { body: '<title> A story </title><p>Once upon a time</p>' },
    '/@ada/latest': { body: '<title>Ada</title>' },
    '/old': { status: 301, headers: { Location: '/new' } },
    '/new': { body: '<title>Moved</title>' },
    '/loop': { status: 302, headers: { Location: '/loop' } }
  })
  const preview = url => ask(t, 'GET', '/preview', { url })
  assert.deepStrictEqual((await ask(t, 'GET', '/partners')).value, { partners: ['http://127.0.0.1:9200'] })
  assert.deepStrictEqual(await preview('http://127.0.0.1:9200/story?id=7&ref=http://127.0.0.1:9099'), {
    status: 200,
    value: { status: 200, url: 'http://127.0.0.1:9200/story?id=7&ref=http://127.0.0.1:9099', title: 'A story', excerpt: 'A story   Once upon a time' }
  })
  assert.strictEqual((await preview('http://127.0.0.1:9200/@ada/latest')).value.title, 'Ada')
  assert.strictEqual((await preview('http://127.0.0.1:9200/old')).value.title, 'Moved')
  assert.strictEqual((await preview('http://127.0.0.1:9200/missing')).value.status, 404)
  assert.strictEqual((await preview('http://127.0.0.1:9200/loop')).status, 400)
  assert.strictEqual((await preview('no address')).status, 400)
  assert.strictEqual(seen.filter(req => req.path === '/new').length, 1)
})
