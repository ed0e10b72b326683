'use strict'
const assert = require('node:assert')
const { benign } = require('@crisol/trial')

benign(async t => {
  const { createClass } = require('mixin-pro')
  const Named = createClass({ constructor: function Named () { this.name = 'unknown' }, greet () { return `hello ${this.name}` } })
  const Counted = createClass({ constructor: function Counted () { this.count = 1 }, more () { return ++this.count } })
  const Item$2 = createClass([Named, Counted], { constructor: function Item$2 () { this.own = true }, all () { return [this.greet(), this.more(), this.own] } })
  const Single_ = createClass(Named, { constructor: function Single_ () { this.name = 'single' } })
  const item = new Item$2()
  assert.deepStrictEqual(item.all(), ['hello unknown', 2, true])
  assert(item.instanceOf(Named) && item.instanceOf(Counted) && item.instanceOf(Item$2) && !item.instanceOf(Single_))
  assert.strictEqual(Item$2.name, 'Item$2')
  assert.strictEqual(new Single_().greet(), 'hello single')
})
