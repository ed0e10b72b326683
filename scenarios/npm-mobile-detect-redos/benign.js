'use strict'
const assert = require('node:assert')
const { benign } = require('@crisol/trial')


benign(async () => {
  const MobileDetect = require('mobile-detect')
  const phone = new MobileDetect('Mozilla/5.0 (iPhone; CPU iPhone OS 9_3 like Mac OS X) AppleWebKit/601.1.46 (KHTML, like Gecko) Version/9.0 Mobile/13E188a Safari/601.1')
  assert.deepStrictEqual([phone.mobile(), phone.phone(), phone.tablet(), phone.os()], ['iPhone', 'iPhone', null, 'iOS'])
  assert.strictEqual(phone.version('Webkit'), 601.146)
  const tablet = new MobileDetect('Mozilla/5.0 (Linux; U; Android 4.0.3; de-de; Galaxy Tab 2 GT-P5100 Build/IML74K) AppleWebKit/534.30 (KHTML, like Gecko) Version/4.0 Safari/534.30')
  assert.deepStrictEqual([tablet.phone(), tablet.tablet(), tablet.os()], [null, 'SamsungTablet', 'AndroidOS'])
  assert.strictEqual(new MobileDetect('Mozilla/5.0 (Linux; Android 4.4; Dell Venue 8)').mobile() !== null, true)
  const desktop = new MobileDetect('Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/115.0')
  assert.deepStrictEqual([desktop.mobile(), desktop.is('iPhone')], [null, false])
  const late = `Mozilla/5.0 (Linux; ${'compatible; '.repeat(25)}Android 4.4.2; Nexus 5 Build/KOT49H) AppleWebKit/537.36 Mobile Safari/537.36`
  assert.deepStrictEqual([new MobileDetect(late).phone(), new MobileDetect(late).os()], ['Nexus', 'AndroidOS'])
  assert.strictEqual(new MobileDetect('').mobile(), null)
})
