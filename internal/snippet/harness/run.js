'use strict'
// Runs one input of a snippet's trial: node harness/run.js attack|slow|benign KIT FILE. See the doc of the package snippet.
const trial = require('@crisol/trial') // first: it reads the secret of the run before any snippet is loaded
const path = require('path')
const { Snippet } = require('./snippet')

const exit = process.exit.bind(process)
const write = require('fs').writeSync

const [mode, kitFile, file] = process.argv.slice(2)
const work = path.dirname(__dirname)
const kit = require(path.join(work, kitFile))

// plainly says in one line why a run can't be told or isn't healthy: a stack would only show the harness.
const plainly = body => async t => {
  try { return await body(t) } catch (err) {
    write(2, `snippet: ${(err && err.message) || err}\n`)
    exit(3)
  }
}

// reached says that the payload got to the snippet: every run of it that wasn't a control was proper and used the input.
const reached = (target, t) => {
  const runs = target.outcomes.filter(o => !o.control)
  const bad = runs.find(o => !o.proper) || runs.find(o => !o.used)
  if (!runs.length) throw new Error('the kit never ran the snippet')
  if (bad) throw new Error(bad.fault || 'the snippet never used its input' + (bad.error ? `: ${bad.error.message || bad.error}` : ''))
  return t.attack(() => {})
}

if (mode === 'attack') {
  trial.exploit(plainly(async t => {
    const target = new Snippet(path.join(work, 'app', file), kit)
    const affected = new Snippet(path.join(work, 'affected', file), kit)
    const effect = await kit.attack({ target, affected }, t.payload)
    if (effect) {
      console.log(`the effect was seen with ${JSON.stringify(effect)}`)
      return true
    }
    await reached(target, t)
    return false
  }))
} else if (mode === 'slow') {
  trial.slow(plainly(async t => {
    const target = new Snippet(path.join(work, 'app', file), kit)
    await kit.slow({ target, affected: new Snippet(path.join(work, 'affected', file), kit) }, t.payload, t)
    await reached(target, t)
  }))
} else {
  trial.benign(plainly(async t => {
    const affected = new Snippet(path.join(work, 'affected', file), kit)
    const target = new Snippet(path.join(work, 'app', file), kit)
    await kit.benign({ target, affected }, t.payload)
    const bad = target.outcomes.find(o => !o.proper && !o.control)
    if (bad) throw new Error(bad.fault)
  }))
}
