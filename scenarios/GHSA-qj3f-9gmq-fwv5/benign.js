'use strict'
const assert = require('node:assert')
const { benign } = require('@crisol/trial')

benign(async t => {
  const markdown = require('simple-markdown')
  const types = text => markdown.defaultInlineParse(text).map(node => node.type)
  assert.deepStrictEqual(types('a ~~gone \\~ away~~ **b**'), ['text', 'del', 'text', 'strong'])
  assert.deepStrictEqual(types('~~a~b~~'), ['del'])
  assert(!types('~~ not deleted').includes('del'))
  assert.strictEqual(markdown.defaultHtmlOutput(markdown.defaultBlockParse('# Hi\n\n~~old~~ [new](/x)\n\n')), '<h1>Hi</h1><div class="paragraph"><del>old</del> <a href="/x">new</a></div>')
  assert.deepStrictEqual(types(`~~${'a \\~ b'.repeat(10)}~~`), ['del'])
  assert(!types('x ~ y ~ z').includes('del'))
})
