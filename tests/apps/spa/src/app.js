// Shows the shelf that the address names: the server answers each address with the same page.
const main = document.querySelector("main");
const [, place, number] = location.pathname.split("/");

const goods = new Map([
  ["1", ["cups", "plates", "bowls"]],
  ["2", ["spoons", "forks", "knives"]],
  ["3", ["pots", "pans", "lids"]],
]);

if (place === "shelves" && goods.has(number)) {
  const list = document.createElement("ul");
  for (const name of goods.get(number)) {
    const item = document.createElement("li");
    item.textContent = name;
    list.append(item);
  }
  main.replaceChildren(`Shelf ${number}`, list);
}
