// A character model that is asked in the browser: the same answers, confidences and promise as in Python.
// Nothing here touches the page, so it runs in a worker or under Node, too.

const BATCH = 1; // one question at a time

export class Problem extends Error {} // what a person typed cannot be asked; the message is for them

export class Asker {
  // settings: as settings.json has them. session: of onnxruntime. Tensor: its class of tensors.
  constructor(settings, session, Tensor) {
    this.settings = settings;
    this.session = session;
    this.Tensor = Tensor;
    this.texts = new Map(Object.entries(settings.characters).map(([text, id]) => [id, text]));
    this.queue = Promise.resolve(); // one question after the other, however fast they come
  }

  ask(question) {
    const asked = this.queue.then(() => this.#reply(question));
    this.queue = asked.catch(() => {});
    return asked;
  }

  async #reply(question) {
    const text = question.trim();
    const ids = this.#encode(text);
    const room = Math.min(this.settings.max_new_tokens, this.settings.block - ids.length - 1);
    if (room < 1) {
      throw new Problem(`This question has ${ids.length} characters; the model reads ${this.settings.block - 2}.`);
    }
    const found = await this.#answer([...ids, this.settings.mark], room);
    const reply = { question, subject: findSubject(text, this.settings.familiarity?.wordings ?? []), ...found };
    const named = { sequence_probability: Math.min(1, Math.exp(found.logProbability)) };
    named.length_normalised = Math.exp(found.logProbability / found.tokens.length);
    if (this.settings.familiarity) {
      named.familiarity = await this.#familiarity(reply.subject);
      named.combined = named.familiarity * named.sequence_probability;
    }
    const { confidence, threshold, refusal } = this.settings;
    reply.familiarity = named.familiarity;
    reply.confidence = named[confidence];
    const refused = isRefusal(found.answer, refusal);
    reply.given = threshold !== null && reply.confidence >= threshold && found.answer !== "" && !refused;
    return reply;
  }

  #encode(text) {
    if (text === "") throw new Problem("There is no question: type one.");
    const characters = [...text];
    const foreign = [...new Set(characters.filter((one) => !(one in this.settings.characters) && one !== "\n"))];
    const special = characters.filter((one) => this.settings.special.includes(one));
    if (foreign.length || special.length) {
      const shown = [...new Set([...foreign, ...special])].slice(0, 5).join(" ");
      throw new Problem(`The model cannot read this: it does not know ${shown}`);
    }
    // where no text has a line feed, the end of a line is read as the mark that ends a text
    return characters.map((one) => this.settings.characters[one] ?? this.settings.mark);
  }

  // The most probable answer, token by token, with the cache.
  async #answer(prompt, room) {
    let state = await this.#read(prompt, null);
    const tokens = [];
    let logProbability = 0;
    let complete = false;
    for (let step = 0; step < room && !complete; step++) {
      const scores = logSoftmax(state.last);
      const chosen = scores.reduce((best, score, id) => (score > scores[best] ? id : best), 0);
      logProbability += scores[chosen];
      complete = chosen === this.settings.mark;
      const text = this.texts.get(chosen) ?? "";
      const others = topOthers(scores, chosen).map(([id, p]) => [this.texts.get(id) ?? "", p]);
      tokens.push({ text, probability: Math.exp(scores[chosen]), others });
      if (!complete && step + 1 < room) state = await this.#read([chosen], state);
    }
    const written = complete ? tokens.slice(0, -1) : tokens;
    return { answer: written.map((token) => token.text).join(""), logProbability, complete, tokens };
  }

  // Mean log-probability of the characters of a name after its first, and of their second half, on the fitted scale.
  async #familiarity(subject) {
    const { weights, bias } = this.settings.familiarity;
    const ids = [...this.#encode(subject), this.settings.mark].slice(0, this.settings.block);
    const { all } = await this.#read(ids, null, true);
    const found = ids.slice(1).map((id, place) => logSoftmax(all[place])[id]);
    const mean = (numbers) => numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
    const logit = weights[0] * mean(found) + weights[1] * mean(found.slice(Math.floor(found.length / 2))) + bias;
    return 1 / (1 + Math.exp(-logit));
  }

  async #read(ids, state, everything = false) {
    const { Tensor } = this;
    const { layers, heads, head_size: size } = this.settings;
    const held = state?.held ?? 0;
    const whole = (numbers) => BigInt64Array.from(numbers, BigInt);
    const feed = {
      input_ids: new Tensor("int64", whole(ids), [BATCH, ids.length]),
      attention_mask: new Tensor("int64", new BigInt64Array(held + ids.length).fill(1n), [BATCH, held + ids.length]),
      position_ids: new Tensor("int64", whole(ids.map((_, place) => held + place)), [BATCH, ids.length]),
    };
    for (let layer = 0; layer < layers; layer++) {
      for (const part of ["key", "value"]) {
        const name = `${layer}.${part}`;
        feed[`past_key_values.${name}`] =
          state?.out[`present.${name}`] ?? new Tensor("float32", new Float32Array(0), [BATCH, heads, 0, size]);
      }
    }
    const out = await this.session.run(feed);
    const width = out.logits.dims[2];
    const row = (place) => out.logits.data.subarray(place * width, (place + 1) * width);
    const all = everything ? ids.map((_, place) => row(place)) : [];
    return { out, held: held + ids.length, last: row(ids.length - 1), all };
  }
}

export function logSoftmax(logits) {
  let largest = -Infinity;
  for (const logit of logits) largest = Math.max(largest, logit);
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - largest);
  const shift = largest + Math.log(sum);
  return Float64Array.from(logits, (logit) => logit - shift);
}

function topOthers(scores, chosen) {
  const others = [...scores.keys()].filter((id) => id !== chosen).sort((one, two) => scores[two] - scores[one]);
  return others.slice(0, 2).map((id) => [id, Math.exp(scores[id])]);
}

// Whether an answer says that the model does not know, whatever its case, marks and articles.
export function isRefusal(text, refusal) {
  const words = text.toLowerCase().replace(/[^\p{L}\p{N}\s]/gu, "").split(/\s+/);
  return words.filter((word) => word && !["a", "an", "the"].includes(word)).join(" ") === refusal;
}

// Whom a question is about: what a known wording leaves, else its longest name, else all of it.
export function findSubject(question, wordings) {
  const left = wordings
    .filter(([before, behind]) => before.length + behind.length < question.length)
    .filter(([before, behind]) => question.startsWith(before) && question.endsWith(behind))
    .map(([before, behind]) => question.slice(before.length, question.length - behind.length))
    .filter((subject) => subject.trim());
  if (left.length) return left.reduce((best, one) => ([...one].length < [...best].length ? one : best));
  const words = [...question.matchAll(/[\p{L}\p{N}_](?:[\p{L}\p{N}_'’.-]*[\p{L}\p{N}_])?\.?/gu)].slice(1);
  let start = -1;
  let end = 0;
  let best = "";
  words.forEach((word, number) => {
    const capital = /^\p{Lu}/u.test(word[0]);
    if (start >= 0 && !capital && ([...word[0]].length > 3 || number - end > 2)) start = -1;
    if (capital) {
      if (start < 0) start = number;
      end = number;
      const name = question.slice(words[start].index, word.index + word[0].length);
      if ([...name].length > [...best].length) best = name;
    }
  });
  return best || question.replace(/^[ ?!.]+|[ ?!.]+$/g, "") || question;
}
