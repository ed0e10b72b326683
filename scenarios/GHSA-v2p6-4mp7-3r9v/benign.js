'use strict'
const assert = require('node:assert')
const { benign } = require('@crisol/trial')

benign(async t => {
  const { unescapeHTML } = require('underscore.string')
  assert.strictEqual(unescapeHTML('&lt;b&gt; &amp; &quot;q&quot; &apos;'), '<b> & "q" \'')
  assert.strictEqual(unescapeHTML('&#38;&#x26;&#60;'), '&&<')
  assert.strictEqual(unescapeHTML('&lt; &unknown; a & b;'), '< &unknown; a & b;')
  assert.strictEqual(unescapeHTML('&amp;lt;'), '&lt;')
  assert.strictEqual(unescapeHTML('&amp; and '.repeat(500)), '& and '.repeat(500))
})
